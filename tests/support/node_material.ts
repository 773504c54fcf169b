/** The certificate and key that a node keeps in its state folder, for tests that come with a copy of it. */
import { systemClock } from "../../api/clock.ts";
import { type Connection, tlsDialer, type TLSMaterial } from "../../transport/mod.ts";

/** Reads them. */
export async function materialOf(stateDir: string): Promise<TLSMaterial> {
  const read = (name: string) => Deno.readTextFile(`${stateDir}/certificates/${name}`);
  return { certificatePEM: await read("swarm-node.crt"), privateKeyPEM: await read("swarm-node.key") };
}

/** Connects to `address` with them, or without, to whoever is there. */
export function dialWith(address: string, material?: TLSMaterial): Promise<Connection> {
  return tlsDialer({ identity: () => material, verifyPeer: () => undefined, clock: systemClock }).dial(
    address,
  );
}
