export { Allocator } from "./allocator.ts";
export { NetworkVoter } from "./network_voter.ts";
export type { AllocationVoter } from "./voter.ts";
