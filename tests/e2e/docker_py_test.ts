/**
 * docker-py reads service logs. `COVEY_TEST_DOCKER_PY` names a checkout of docker-py, whose own test of them is then run as it
 * is; the session below needs only Debian's `python3-docker`.
 */
import assert from "node:assert/strict";
import { freePort, inFolder, Program, ROOT, run, shows } from "../support/programs.ts";
import { NO_ENGINE, TEST_ENGINE } from "../support/test_engine.ts";

const PYTHON = "/usr/bin/python3";
const CHECKOUT = Deno.env.get("COVEY_TEST_DOCKER_PY") ?? "";

async function installed(): Promise<boolean> {
  const { success } = await new Deno.Command(PYTHON, { args: ["-c", "import docker"], stderr: "null" })
    .output()
    .catch(() => ({ success: false }));
  return success;
}

/** Runs a program of Python's with a manager that is in no swarm yet. */
async function withManager(args: string[], env: Record<string, string>, says: RegExp): Promise<void> {
  await inFolder(async (folder) => {
    const socket = `${folder}/covey.sock`;
    const address = `127.0.0.1:${freePort()}`;
    const manager = new Program(`${ROOT}manager/launch.sh`, [
      ...["--docker", TEST_ENGINE, "--state-dir", `${folder}/state`, "--api", socket, "--idle"],
      ...["--listen", address, "--advertise", address],
    ]);
    try {
      await shows(/Swarm: inactive/, "docker", socket, "info");
      const python = new Program(PYTHON, args, {
        DOCKER_HOST: `unix://${socket}`,
        ADDRESS: address,
        PYTHONDONTWRITEBYTECODE: "1",
        ...env,
      });
      assert.equal(await python.ends(), 0, python.output);
      assert.match(python.output, says);
    } finally {
      await manager.end();
    }
  });
}

/** A service of two tasks, its log as it is and as it grows, from the end and by stream, and the refusals. */
const SESSION = String.raw`
import os, time, docker
client = docker.from_env(version="1.41").api
client.init_swarm(os.environ["ADDRESS"], listen_addr=os.environ["ADDRESS"])
script = "echo hello; echo trouble >&2; sleep 2; echo later; sleep 1000"
spec = docker.types.ContainerSpec("busybox:local", ["sh", "-c", script], stop_grace_period=10**8)
service = client.create_service(docker.types.TaskTemplate(spec), name="talk", mode=docker.types.ServiceMode("replicated", 2))

def read(**options):
    return b"".join(client.service_logs("talk", is_tty=False, **options)).decode()

deadline = time.time() + 60
while read(stdout=True).count("hello\n") < 2:
    assert time.time() < deadline, read(stdout=True)
    time.sleep(0.1)
for entry in client.service_logs("talk", stdout=True, follow=True, tail=0, is_tty=False):
    assert entry == b"later\n", entry
    break
assert read(stderr=True) == "trouble\ntrouble\n", read(stderr=True)
assert len(read(stdout=True, stderr=True, tail=3).splitlines()) == 3
assert read(stdout=True, since=int(time.time()) + 1000) == ""
stamped = read(stderr=True, timestamps=True, details=True)
assert "com.docker.swarm.service.id=" + service["ID"] in stamped, stamped
task = client.tasks({"service": "talk"})[0]
for bad in ({"tail": -1, "stdout": True}, {}):
    try:
        read(**bad)
        raise SystemExit("not refused")
    except docker.errors.APIError as error:
        print(error.explanation)
client.remove_service("talk")
client.leave_swarm(force=True)
print("all is well")
`;

Deno.test({
  name: "docker-py: reads the logs of a service, and follows them",
  ignore: NO_ENGINE !== "" || !await installed(), // without either there is nothing to run; CI has both
  fn: () =>
    withManager(
      ["-W", "ignore", "-c", SESSION],
      {},
      /^negative tail values not supported\nBad parameters: you must choose at least one stream\nall is well\n$/,
    ),
});

if (CHECKOUT !== "") {
  Deno.test("docker-py: its own test of service logs passes as it is", async () => {
    const base = await Deno.readTextFile(`${CHECKOUT}/tests/integration/base.py`);
    // The image that its tests run: the engine's own stands in for it.
    const image = /^TEST_IMG = '(.*)'$/m.exec(base)![1]!;
    const tagged = await run("docker", TEST_ENGINE, "tag", "busybox:local", image);
    assert.equal(tagged.code, 0, tagged.stderr);
    const args = [
      ...["-m", "pytest", "--rootdir", CHECKOUT, "-c", "/dev/null", "-p", "no:cacheprovider"],
      // Its set-up leaves sockets to the garbage collector and asks for warnings to be errors.
      ...["-p", "no:unraisableexception"],
      ...[`${CHECKOUT}/tests/integration/api_service_test.py`, "-k", "test_service_logs"],
    ];
    await withManager(args, { PYTHONPATH: CHECKOUT }, /1 passed/);
  });
}
