/** What `covey doctor` finds of the agent on this device: its folder, identity, clock, service, and the way to its managers. */
import { X509Certificate } from "node:crypto";
import { inWords } from "../api/duration.ts";
import type { Finding } from "./doctor.ts";

/** A manager that takes longer to let a connection in is as good as none to whoever waits for the report. */
const MAX_CONNECT_MS = 3_000;
/** A certificate is renewed long before; this close to its end something keeps it from being renewed. */
const MIN_CERTIFICATE_MS = 24 * 60 * 60 * 1000;
/** Less is no more than what a message takes, and harms nothing. */
const MAX_SKEW_MS = 60_000;
/** Where a service of this device may be described. */
const UNIT_FOLDERS = ["/etc/systemd/system", "/run/systemd/system", "/usr/lib/systemd/system"];

/** What the checks look at; `stateDir` is the agent's, `join` HOST:PORT each. */
export interface DeviceOptions {
  stateDir: string;
  join: readonly string[];
  nowMs: number;
  /** Runs the agent's launcher, which sees what is closed to Deno programs. */
  launcherSays: (...args: string[]) => Promise<string[]>;
  unitFolders?: readonly string[];
}

/** All of them. */
export async function checkDevice(options: DeviceOptions): Promise<Finding[]> {
  const { stateDir, nowMs } = options;
  return [
    ...await Promise.all(options.join.map(manager)),
    await folder(stateDir),
    await certificate(stateDir, nowMs),
    await skew(stateDir, nowMs),
    await agent(options),
    ...await units(options.unitFolders ?? UNIT_FOLDERS),
  ];
}

/** HOST:PORT of the managers that the agent of `stateDir` was given or has heard of, the given ones first. */
export async function knownManagers(stateDir: string): Promise<string[]> {
  const files = await Promise.all([`${stateDir}/program/join`, `${stateDir}/managers`].map(textOf));
  return [...new Set(files.flatMap((text) => text.split("\n")).filter((line) => line !== ""))];
}

async function textOf(path: string): Promise<string> {
  return await Deno.readTextFile(path).catch(() => "");
}

function finding(check: string, level: Finding["level"], found: string, remedy?: string): Finding {
  return { check, level, found, ...(remedy !== undefined && { remedy }) };
}

async function manager(address: string): Promise<Finding> {
  const [, name = "", port = "2377"] = /^(.*?)(?::(\d+))?$/.exec(address) ?? [];
  const hostname = name.replace(/^\[|\]$/g, "");
  const patience = AbortSignal.timeout(MAX_CONNECT_MS);
  try {
    const connection = await Promise.race([
      Deno.connect({ hostname, port: Number(port) }),
      new Promise<never>((_, reject) => {
        patience.addEventListener(
          "abort",
          () => reject(new Error(`no answer in ${inWords(MAX_CONNECT_MS)}`)),
        );
      }),
    ]);
    connection.close();
    return finding("join", "ok", `${address} lets this device connect`);
  } catch (thrown) {
    const why = (thrown as Error).message.replace(/ \(os error \d+\)$/, "");
    return finding(
      "join",
      "warn",
      `${address}: ${why}`,
      "see that a manager runs there, and that this network leads to it",
    );
  }
}

async function folder(path: string): Promise<Finding> {
  let mode: number | null, owner: number | null;
  try {
    ({ mode, uid: owner } = await Deno.stat(path));
  } catch (thrown) {
    return thrown instanceof Deno.errors.NotFound
      ? finding(
        "folder",
        "warn",
        `${path} is not there`,
        "no agent has run on it yet; --state-dir names another",
      )
      : finding("folder", "warn", `${path} cannot be looked at`, "ask as root");
  }
  const open = ((mode ?? 0) & 0o066).toString(8);
  if (open !== "0") {
    return finding(
      "folder",
      "warn",
      `${path} is open to others (mode ${((mode ?? 0) & 0o777).toString(8)})`,
      `chmod 700 ${path}`,
    );
  }
  if (owner !== Deno.uid()) {
    return finding("folder", "warn", `${path} belongs to user ${owner}`, "the agent has to run as that user");
  }
  const damaged = [...Deno.readDirSync(path)].find(({ name }) => /\.damaged-\d+$/.test(name));
  return damaged
    ? finding(
      "folder",
      "warn",
      `${path}/${damaged.name} was found damaged`,
      "look at it, check the disk, then delete it",
    )
    : finding("folder", "ok", path);
}

async function certificate(stateDir: string, nowMs: number): Promise<Finding> {
  const path = `${stateDir}/certificates/swarm-node.crt`, pem = await textOf(path);
  if (pem === "") {
    return finding(
      "certificate",
      "warn",
      "none: this device has not joined",
      "start the agent with --join and a token",
    );
  }
  try {
    const { subject, validFromDate, validToDate } = new X509Certificate(pem);
    const nodeID = /CN=(\S+)/.exec(subject)?.[1] ?? "unknown", left = validToDate.getTime() - nowMs;
    const found = `node ${nodeID}, until ${validToDate.toISOString()}`;
    if (left < 0) {
      return finding(
        "certificate",
        "warn",
        `${found}: expired`,
        "the agent renews it once it reaches a manager; if refused, leave and join",
      );
    }
    if (validFromDate.getTime() > nowMs + MAX_SKEW_MS) {
      return finding(
        "certificate",
        "warn",
        `${found}: valid from ${validFromDate.toISOString()} on`,
        "this device's clock is behind; the agent takes its managers' time",
      );
    }
    return left < MIN_CERTIFICATE_MS
      ? finding(
        "certificate",
        "warn",
        `${found}: ${inWords(left)} left`,
        "the agent could not renew it yet: see its log",
      )
      : finding("certificate", "ok", found);
  } catch {
    return finding("certificate", "warn", `${path} is damaged`, "see docs/operations/certificates.md");
  }
}

/** The last time that a manager proved to have passed: a clock before it is wrong, whatever it says. */
async function skew(stateDir: string, nowMs: number): Promise<Finding> {
  const [time = ""] = (await textOf(`${stateDir}/clock-floor`)).split(" ");
  const behind = Date.parse(time) - nowMs;
  return behind > MAX_SKEW_MS
    ? finding(
      "skew",
      "warn",
      `this clock is ${inWords(behind)} behind`,
      "the agent takes its managers' time; set the clock for the rest",
    )
    : finding("skew", "ok", Number.isNaN(behind) ? "no manager's time is known yet" : `not behind ${time}`);
}

async function agent({ stateDir, launcherSays }: DeviceOptions): Promise<Finding> {
  const [pid = ""] = await launcherSays("--print-running", "--state-dir", stateDir);
  return pid === ""
    ? finding(
      "agent",
      "warn",
      `none runs on ${stateDir}`,
      "start its service; tasks that run go on without it",
    )
    : finding("agent", "ok", `runs as process ${pid}`);
}

/** Each service that starts one of our programs: what systemd does to its tasks when it stops. */
async function units(folders: readonly string[]): Promise<Finding[]> {
  const found: Finding[] = [];
  for (const folder of folders) {
    for await (const { name } of readDir(folder)) {
      if (!name.endsWith(".service")) continue;
      const text = await textOf(`${folder}/${name}`);
      if (
        !/^ExecStart=.*(\/covey\/start\.sh|agent\/launch\.sh|manager\/launch\.sh|run-agent|run-manager)/m
          .test(text)
      ) continue;
      found.push(...unit(`${folder}/${name}`, text));
    }
  }
  return found;
}

function unit(path: string, text: string): Finding[] {
  const [, mode = "control-group"] = /^KillMode=(\S+)/m.exec(text) ?? [];
  const [, restart = "no"] = /^Restart=(\S+)/m.exec(text) ?? [];
  const found: Finding[] = [];
  if (mode !== "process" && mode !== "none") {
    const remedy = "a restart of it ends every task: add KillMode=process";
    found.push(finding("unit", "warn", `${path} has KillMode=${mode}`, remedy));
  }
  if (restart !== "always" && restart !== "on-failure") {
    const remedy = "an agent that ends, also to be renewed, stays away: add Restart=always";
    found.push(finding("unit", "warn", `${path} has Restart=${restart}`, remedy));
  }
  return found.length > 0 ? found : [finding("unit", "ok", path)];
}

async function* readDir(folder: string): AsyncGenerator<Deno.DirEntry> {
  try {
    yield* Deno.readDir(folder);
  } catch {
    // No such folder, no service.
  }
}
