/** A whole session with the lock: the stock client prints the same of our manager as of a real Docker Swarm. */
import assert from "node:assert/strict";
import { withManagers } from "../support/manager_fleet.ts";
import { type Answer, Side, type Sides, withPeer, words } from "../support/parity.ts";
import { NO_ENGINE } from "../support/test_engine.ts";

/** Before and after `restart`, at which both managers end and start on what they kept. `<` is what a command reads. */
const SESSION = `
info --format {{.Swarm.LocalNodeState}}
swarm unlock < $KEY
swarm unlock-key
swarm unlock-key -q
swarm unlock-key --rotate
swarm update --autolock=false
swarm update --autolock=true
swarm inspect --format {{.Spec.EncryptionConfig}}
swarm unlock-key
swarm update --task-history-limit 3
swarm unlock-key -q
secret create word /etc/hostname
key
restart
info --format {{.Swarm.LocalNodeState}}
info --format '{{json .Swarm}}'
node ls
service ls
secret ls
service create --detach busybox:local
swarm unlock-key
swarm unlock-key --rotate
swarm update --autolock=false
swarm join-token worker
swarm ca
swarm init
swarm join --token x 127.0.0.1:1
swarm leave
swarm unlock < SWMKEY-1-x
swarm unlock < nonsense
swarm unlock < SWMKEY-1-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA
info --format {{.Swarm.LocalNodeState}}
swarm unlock < $KEY
info --format '{{.Swarm.LocalNodeState}} {{.Swarm.Error}}'
secret ls --format {{.Name}}
swarm unlock < $KEY
swarm unlock-key --rotate
swarm unlock-key --rotate -q
restart
swarm unlock < $KEY
key
swarm unlock < $KEY
swarm update --autolock=false
swarm unlock-key
restart
info --format {{.Swarm.LocalNodeState}}
swarm update --autolock=true
key
restart
swarm leave
swarm leave --force
info --format {{.Swarm.LocalNodeState}}
swarm unlock < $KEY
`.split("\n").filter((line) => line !== "");

/** Requests that the stock client does not send to a locked manager. */
const BARE: [method: string, path: string, body?: unknown][] = [
  ["GET", "/swarm"],
  ["GET", "/swarm/unlockkey"],
  ["GET", "/nodes"],
  ["GET", "/tasks"],
  ["POST", "/swarm/update?version=1", { Name: "default" }],
  ["POST", "/swarm/unlock", {}],
  ["POST", "/swarm/unlock", { UnlockKey: "SWMKEY-2-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" }],
  ["POST", "/swarm/unlock", { UnlockKey: "SWMKEY-1-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" }],
  ["POST", "/swarm/leave"],
  ["POST", "/swarm/init", { ListenAddr: "0.0.0.0:2377" }],
];

const show = ({ code, out, err }: Answer) => `status ${code}\n${out}\n${err}`;

/** The unlock key that each side has at the moment; none while it is locked, or has no lock. */
async function keysOf({ docker, covey }: Sides): Promise<[string, string] | undefined> {
  const answers = await Promise.all([docker, covey].map((side) => side.call("GET", "/swarm/unlockkey")));
  const [ofDocker, ofCovey] = answers.map(({ text }) => JSON.parse(text).UnlockKey as string | undefined);
  return ofDocker && ofCovey ? [ofDocker, ofCovey] : undefined;
}

async function compare(sides: Sides, line: string, keys: [string, string]): Promise<string> {
  const [command, input] = line.split(" < ");
  const [docker, covey] = await Promise.all(
    [sides.docker, sides.covey].map((side, at) =>
      side.run(words(command!), "docker", input && `${input.replace("$KEY", keys[at]!)}\n`)
    ),
  );
  return show(docker!) === show(covey!)
    ? ""
    : `\n=== docker ${line}\n--- Docker: ${show(docker!)}\n--- Covey: ${show(covey!)}`;
}

Deno.test({
  name: "Autolock parity: the stock client locks, rotates and unlocks as with Docker Swarm",
  ignore: NO_ENGINE !== "" || Deno.uid() !== 0, // a reason is in the variable; a network namespace needs root
  fn: () =>
    withPeer((docker, again) =>
      withManagers({}, async (fleet) => {
        await fleet.start("m1");
        const covey = new Side(`${fleet.folder}/m1.sock`, fleet.address("m1").split(":")[1]);
        const sides = { docker, covey };
        let differences = "", keys: [string, string] = ["", ""], next = keys, locked = false;
        for (const line of SESSION) {
          if (line === "key") keys = next;
          else if (line !== "restart") {
            differences += await compare(sides, line, keys);
            if (/--rotate|--autolock/.test(line)) next = await keysOf(sides) ?? next;
          } else {
            await fleet.signal("m1", "SIGTERM");
            await Promise.all([again(), fleet.restart("m1")]);
            if (locked) continue;
            locked = true;
            for (const [method, path, body] of BARE) {
              const answers = await Promise.all([docker, covey].map((side) => side.call(method, path, body)));
              // What clients of ours decide by, beside Docker's words.
              answers[1]!.text = answers[1]!.text.replace(/,"reason":"[a-z_]+"/, "");
              if (JSON.stringify(answers[0]) !== JSON.stringify(answers[1])) {
                differences += `\n=== ${method} ${path}\n${
                  answers.map((each) => JSON.stringify(each)).join("\n")
                }`;
              }
            }
          }
        }
        covey.close();
        assert.equal(differences, "");
      })
    ),
});
