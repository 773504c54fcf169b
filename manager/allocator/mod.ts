export { type AllocationVoter, Allocator } from "./allocator.ts";
