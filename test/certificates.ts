/** Certificates for tests, as `muster certs` makes them: a server on this machine, and alice, bob and carol. */

import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeCertificates } from "../src/cli/certs.js";

export interface TestCertificates {
  readonly folder: string;
  readonly ca: string;
  readonly server: KeyPair;
  client(domain: string): Promise<KeyPair>;
  remove(): Promise<void>;
}

export interface KeyPair {
  readonly cert: string;
  readonly key: string;
}

export async function makeTestCertificates(): Promise<TestCertificates> {
  const folder = await mkdtemp(join(tmpdir(), "muster-certs-"));
  await makeCertificates(folder, { server: ["localhost", "127.0.0.1"], domain: ["alice", "bob", "carol"], days: 1 });
  const pair = async (name: string): Promise<KeyPair> => ({
    cert: await readFile(join(folder, `${name}.crt`), "utf8"),
    key: await readFile(join(folder, `${name}.key`), "utf8"),
  });
  return {
    folder,
    ca: await readFile(join(folder, "ca.crt"), "utf8"),
    server: await pair("server"),
    client: (domain) => pair(`client-${domain}`),
    remove: () => rm(folder, { recursive: true }),
  };
}
