import assert from "node:assert/strict";
import { linkArchive } from "../../../executors/docker/link_archive.ts";

Deno.test("Link archive: tar finds each link where it was put, however long its folder is", async () => {
  const links = [
    { at: "/etc/app/settings", to: "/run/covey/configs/0" },
    { at: `/${"f/".repeat(60)}${"n".repeat(90)}`, to: "/run/covey/configs/499" },
    { at: "/etc/ä", to: "/run/covey/secrets/1" },
  ];
  const child = new Deno.Command("tar", {
    args: ["-tvf", "-"],
    stdin: "piped",
    stdout: "piped",
    env: { LC_ALL: "C.UTF-8" },
  })
    .spawn();
  const [{ stdout }] = await Promise.all([
    child.output(),
    new Response(linkArchive(links)).body!.pipeTo(child.stdin),
  ]);
  const listed = new TextDecoder().decode(stdout).trimEnd().split("\n");
  assert.deepEqual(
    listed.map((line) => line.replace(/^lrwxrwxrwx (?:0\/0|root\/root) +0 [\d-]+ [\d:]+ /, "")),
    links.map(({ at, to }) => `${at.slice(1)} -> ${to}`),
  );
  assert.equal(linkArchive([{ at: `/${"n".repeat(101)}`, to: "/x" }]), undefined);
});
