/** An engine of a few lines on a real socket, for what a real one cannot be made to do at will. */

/** Answers a request by its method and path without the version. */
export type Answer = (request: Request, route: string) => Response | Promise<Response>;

/** Serves `answer` until closed. */
export async function fakeEngine(answer: Answer) {
  const dir = await Deno.makeTempDir({ prefix: "covey-engine-" });
  const socket = `${dir}/docker.sock`;
  const calls: string[] = [];
  const stopped = new AbortController();
  const server = Deno.serve({ path: socket, onListen() {}, signal: stopped.signal }, (request) => {
    const url = new URL(request.url);
    const route = `${request.method} ${url.pathname.replace("/v1.41", "")}`;
    calls.push(route);
    return answer(request, route);
  });
  return {
    socket,
    calls,
    close: async () => {
      stopped.abort();
      await server.finished;
      await Deno.remove(dir, { recursive: true });
    },
  };
}

/** An error as the engine answers it. */
export const failure = (status: number, message: string) => Response.json({ message }, { status });
