/**
 * docker-py's own test of service logs, unmodified, against a manager with an engine. `COVEY_TEST_DOCKER_PY` names a folder with
 * docker-py's `tests/` of the version that is installed (Debian's `python3-docker` and `python3-pytest`).
 */
import assert from "node:assert/strict";
import { inFolder, Program, ROOT, run, shows } from "../support/programs.ts";
import { NO_ENGINE, TEST_ENGINE } from "../support/test_engine.ts";

const TESTS = Deno.env.get("COVEY_TEST_DOCKER_PY") ?? "";
/** The image that its tests run; the engine's own stands in for it. */
const IMAGE = /^TEST_IMG = '(.*)'$/m;

Deno.test({
  name: "docker-py: its test of service logs passes unmodified",
  ignore: TESTS === "" || NO_ENGINE !== "", // without either there is nothing to run
  fn: () =>
    inFolder(async (folder) => {
      const socket = `${folder}/covey.sock`,
        image = IMAGE.exec(await Deno.readTextFile(`${TESTS}/tests/integration/base.py`))![1]!;
      const tagged = await run("docker", TEST_ENGINE, "tag", "busybox:local", image);
      assert.equal(tagged.code, 0, tagged.stderr);
      const manager = new Program(`${ROOT}manager/launch.sh`, [
        ...["--docker", TEST_ENGINE, "--state-dir", `${folder}/state`, "--api", socket, "--idle"],
        ...["--listen", "127.0.0.1:0", "--advertise", "127.0.0.1"],
      ]);
      try {
        await shows(/Swarm: inactive/, "docker", socket, "info");
        const pytest = new Program("/usr/bin/python3", [
          ...["-m", "pytest", "--rootdir", TESTS, "-c", "/dev/null", "-p", "no:cacheprovider"],
          // Its own set-up leaves sockets to the garbage collector and asks for warnings to be errors.
          ...["-p", "no:unraisableexception"],
          ...[`${TESTS}/tests/integration/api_service_test.py`, "-k", "test_service_logs"],
        ], { DOCKER_HOST: `unix://${socket}`, PYTHONDONTWRITEBYTECODE: "1", PYTHONPATH: TESTS });
        assert.equal(await pytest.ends(), 0, pytest.output);
        assert.match(pytest.output, /1 passed/);
      } finally {
        await manager.end();
      }
    }),
});
