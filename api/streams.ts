/**
 * What travels between a client and a task: a command with its input and output, files, a connection. A manager asks the
 * task's node ({@linkcode StreamAsk}), whose agent makes a call with items both ways; the manager passes the bytes on as they
 * are, in frames ({@linkcode StreamFrame}) that the client and the agent understand.
 */

/** Size of a terminal in characters. */
export interface TerminalSize {
  Height: number;
  Width: number;
}

/** A command that is to run where a task runs. */
export interface ExecUse {
  Kind: "exec";
  Command: string[];
  /** It gets a terminal, of this size at first. */
  Terminal?: TerminalSize;
  /** It goes on by itself: nothing is put in, and nothing of its output comes out. */
  Detach?: true;
}

/** Files of a task, as a tar archive: what is at `Path` if it is to be read, else what is to be put into the folder `Path`. */
export interface CopyUse {
  Kind: "copy";
  Path: string;
  Write?: true;
}

/** A connection to a port of the task. */
export interface ForwardUse {
  Kind: "forward";
  Port: number;
}

/** What a stream is for. */
export type StreamUse = ExecUse | CopyUse | ForwardUse;

/** What a client asks of a manager. */
export interface StreamRequest {
  TaskID: string;
  Use: StreamUse;
}

/** What a manager asks of a node. It stands in the session's messages until the agent has made the call. */
export interface StreamAsk extends StreamRequest {
  Kind: "stream";
  ID: string;
}

/** What an agent's call with items both ways begins with. */
export interface StreamCall {
  SessionID: string;
  StreamID: string;
}

/** Path below a task's at which a client opens a stream, which is a POST with `Upgrade: tcp`. */
export const STREAM_PATH = "stream";

/** Bytes of one item of such a call: a quarter of a stream's window. */
export const MAX_STREAM_PIECE_BYTES = 64 * 1024;
/** Streams of one node: each may hold two windows in memory, there and at the leader. */
export const MAX_STREAMS_PER_NODE = 32;
/** Streams that one manager opens for its clients. */
export const MAX_STREAMS = 256;
/** How long a node may take until it has made the call: a session's message and a call, on the slowest link. */
export const STREAM_OPEN_MS = 30_000;
/** Words of a command, and their characters together: they stand in a session's message. */
export const MAX_EXEC_WORDS = 256;
export const MAX_EXEC_CHARACTERS = 32 * 1024;
/** Characters of a path (Linux's longest). */
export const MAX_COPY_PATH = 4096;
/** Rows and columns of the largest terminal. */
export const MAX_TERMINAL_SIZE = 4096;
