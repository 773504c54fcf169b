export { type ControlAPI, controlAPI, type ControlOptions } from "./app.ts";
export { type ControlSocket, type ControlSocketOptions, serveControlSocket } from "./front/control_socket.ts";
