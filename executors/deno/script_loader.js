// The main module of a deno task that runs a script; `given` stands before it. What a main module imports needs no permission
// to be read, so the script is imported at run time, where every file does.
const url = given.source === undefined
  ? given.url
  : URL.createObjectURL(new Blob([given.source], { type: "application/typescript" }));
await import(url);
