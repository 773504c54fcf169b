/** A private registry with a password: what the stock client hands on is what the nodes pull with. */
import assert from "node:assert/strict";
import type { TaskView } from "../../cli/api_types.ts";
import type { Fleet } from "../../cli/demo/fleet.ts";
import { withFleet } from "../support/e2e.ts";
import { eventually, freePort, Program } from "../support/programs.ts";
import { NO_ENGINE, TEST_ENGINE } from "../support/test_engine.ts";

// Without a registry there is nothing to test; CI installs it.
const missing = await new Deno.Command("docker-registry", { args: ["--version"] }).output()
  .then(({ success }) => !success, () => true);

/** The user `covey` with the password `secret`. */
const PASSWORDS = "covey:$2y$05$QUP86mecJFUf0SklCKCHUO5Y1YIP/UiWrhQyk/YNiNQ/8lyovEK2K";

interface Registry {
  /** HOST:PORT */
  host: string;
  /** Runs the stock client on `socket` as somebody with this password, who need not be who they say. */
  docker(socket: string, password: string, ...args: string[]): Promise<{ code: number; text: string }>;
}

/** A registry that wants the password, for as long as `run` takes. */
async function withRegistry(run: (registry: Registry) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir(), host = `127.0.0.1:${freePort()}`;
  await Deno.writeTextFile(`${folder}/passwords`, `${PASSWORDS}\n`);
  await Deno.writeTextFile(
    `${folder}/registry.yml`,
    `version: 0.1\nstorage: {filesystem: {rootdirectory: ${folder}/data}}\nhttp: {addr: "${host}"}\n` +
      `auth: {htpasswd: {realm: test, path: ${folder}/passwords}}\n`,
  );
  const registry = new Program("docker-registry", ["serve", `${folder}/registry.yml`]);
  const docker: Registry["docker"] = async (socket, password, ...args) => {
    const config = await Deno.makeTempDir({ dir: folder });
    const auths = { [host]: { auth: btoa(`covey:${password}`) } };
    await Deno.writeTextFile(`${config}/config.json`, JSON.stringify({ auths }));
    const { code, stdout, stderr } = await new Deno.Command("docker", {
      args: ["--config", config, "-H", `unix://${socket}`, ...args],
    }).output();
    return { code, text: [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes)).join("") };
  };
  try {
    await registry.says(/listening on/);
    await run({ host, docker });
  } finally {
    await registry.end("SIGKILL");
    await Deno.remove(folder, { recursive: true });
  }
}

/** Waits for a service's only task to come to `state`. */
async function taskIn(fleet: Fleet, service: string, state: TaskView["Status"]["State"]): Promise<TaskView> {
  let tasks: TaskView[] = [];
  await eventually(`a task of ${service} is ${state}`, async () => {
    tasks = await fleet.client.get<TaskView[]>("/tasks", { filters: { service: [service] } });
    return tasks.some(({ Status }) => Status.State === state);
  }, () => JSON.stringify(tasks.map(({ Status }) => Status)));
  return tasks.find(({ Status }) => Status.State === state)!;
}

Deno.test({
  name:
    "Private registry: another node pulls with the password that came with the service, a wrong one is told of",
  ignore: missing || NO_ENGINE !== "", // the reasons stand above and in the constant
  fn: () =>
    withRegistry(({ host, docker }) =>
      withFleet({ docker: TEST_ENGINE }, async (fleet) => {
        const image = `${host}/app:1`;
        const engine = async (...args: string[]) => {
          const { code, text } = await docker(TEST_ENGINE, "secret", ...args);
          assert.equal(code, 0, text);
        };
        await engine("tag", "busybox:local", image);
        await engine("push", image);
        await engine("rmi", image);
        await fleet.startManager("boss", ["--no-agent"]);
        await fleet.startAgent("pi");
        const create = (name: string, password: string, ...flags: string[]) =>
          docker(
            fleet.socket,
            password,
            "service",
            "create",
            "-d",
            "--name",
            name,
            ...flags,
            "--restart-condition",
            "none",
            image,
            "sleep",
            "1000",
          );
        try {
          const wrong = await create("wrong", "guess", "--with-registry-auth", "--no-resolve-image");
          assert.equal(wrong.code, 0, wrong.text);
          assert.match(
            (await taskIn(fleet, "wrong", "rejected")).Status.Err!,
            /No such image.*(unauthorized|no basic auth|authentication required)/,
          );
          const right = await create("right", "secret", "--with-registry-auth");
          assert.equal(right.code, 0, right.text);
          await taskIn(fleet, "right", "running");
          const shown = await docker(fleet.socket, "secret", "service", "inspect", "right");
          assert.match(shown.text, /app:1@sha256:[0-9a-f]{64}"/, "pinned to what the registry has now");
          assert.doesNotMatch(shown.text, /PullOptions|RegistryAuth/);
        } finally {
          for (const name of ["wrong", "right"]) await docker(fleet.socket, "secret", "service", "rm", name);
          await eventually(
            "the image can be removed",
            async () => (await docker(TEST_ENGINE, "secret", "rmi", "-f", image)).code === 0,
          );
        }
      })
    ),
});
