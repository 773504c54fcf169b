export { type ControlAPI, controlAPI, type ControlOptions } from "./app.ts";
export { type ControlSocket, type ControlSocketOptions, serveControlSocket } from "./front/control_socket.ts";
export { connectEngine } from "./engine.ts";
export { isStreamPath, isUploadPath } from "./engine_paths.ts";
export { pathOf, withoutVersion } from "./api_version.ts";
