import { createPrivateKey, X509Certificate } from "node:crypto";
import { mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { makeCertificates } from "../../src/cli/certs.js";
import { newToken } from "../../src/cli/token.js";
import { digestOf } from "../../src/access/credentials.js";

let folder: string;
beforeEach(async () => {
  folder = join(await mkdtemp(join(tmpdir(), "muster-certs-")), "new");
});
afterEach(() => rm(join(folder, ".."), { recursive: true }));

const read = async (file: string): Promise<X509Certificate> => new X509Certificate(await readFile(join(folder, file)));

test("an authority signs a certificate of the server and one for each domain, and the keys fit", async () => {
  const options = { caName: "Ours, and no other", server: ["muster.example", "::1"], domain: ["alice", "bob"], days: 2 };
  const files = await makeCertificates(folder, options);
  expect(files.map((file) => file.slice(folder.length + 1)).sort()).toEqual((await readdir(folder)).sort());
  const authority = await read("ca.crt");
  expect([authority.subject, authority.ca]).toEqual(["CN=Ours\\, and no other", true]);
  for (const name of ["server", "client-alice", "client-bob"]) {
    const certificate = await read(`${name}.crt`);
    expect([name, certificate.checkIssued(authority), certificate.verify(authority.publicKey), certificate.ca]).toEqual([
      name,
      true,
      true,
      false,
    ]);
    expect(certificate.checkPrivateKey(createPrivateKey(await readFile(join(folder, `${name}.key`))))).toBe(true);
    expect((await stat(join(folder, `${name}.key`))).mode & 0o777).toBe(0o600);
  }
  expect((await stat(join(folder, "ca.key"))).mode & 0o777).toBe(0o600);
  const server = await read("server.crt");
  expect([server.checkHost("muster.example"), server.checkIP("::1"), server.checkHost("other.example")]).toEqual([
    "muster.example",
    "::1",
    undefined,
  ]);
  expect((await read("client-alice.crt")).subject).toBe("CN=alice");
});

test("an authority that is there signs for further domains; nothing is written over", async () => {
  const none = { server: [], domain: [], days: 1 };
  await makeCertificates(folder, { ...none, domain: ["alice"] });
  const before = await readFile(join(folder, "client-alice.key"), "utf8");
  expect(await makeCertificates(folder, { ...none, domain: ["bob"] })).toEqual([
    join(folder, "client-bob.key"),
    join(folder, "client-bob.crt"),
  ]);
  const authority = await read("ca.crt");
  expect((await read("client-bob.crt")).verify(authority.publicKey)).toBe(true);
  await expect(makeCertificates(folder, { ...none, domain: ["carol", "alice"] })).rejects.toThrow(
    "has client-alice.crt, client-alice.key already",
  );
  await expect(makeCertificates(folder, { ...none, caName: "Second", domain: ["carol"] })).rejects.toThrow("has a CA already");
  await expect(makeCertificates(folder, { ...none, domain: ["../up"] })).rejects.toThrow("is no domain name");
  await expect(makeCertificates(folder, none)).rejects.toThrow("nothing to make");
  expect(await readFile(join(folder, "client-alice.key"), "utf8")).toBe(before);
  expect(await readdir(folder)).toHaveLength(6);
});

test("a new token is another one each time, and comes with the hash that the server compares", () => {
  const [one, two] = [newToken(), newToken()];
  expect(one.token).not.toBe(two.token);
  expect(one.token).toMatch(/^[\w-]{43}$/);
  expect(one.sha256).toBe(digestOf(one.token).toString("hex"));
});
