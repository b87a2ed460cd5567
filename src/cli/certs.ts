/**
 * `muster certs`: a certificate authority of one's own, a certificate of the server, and one for each domain, in a folder.
 * The authority's key stays in the folder, so that certificates for further domains can be made; whoever reads it can be
 * any domain.
 */

import { createPrivateKey, KeyObject, randomBytes, webcrypto } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { isIP } from "node:net";
import { join } from "node:path";
import type * as x509Module from "@peculiar/x509";
import { DOMAIN_ID } from "../core/dag.js";

export interface CertsOptions {
  /** Of a new authority. Refused where the folder has one already. */
  readonly caName?: string;
  /** DNS names and IP addresses; empty = no server certificate. */
  readonly server: readonly string[];
  readonly domain: readonly string[];
  readonly days: number;
}

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;
const DAY_MS = 86_400_000;
const CA_DAYS = 3650;
/** Clocks of other machines may be behind. */
const SKEW_MS = 300_000;

type X509 = typeof x509Module;
type X509Certificate = x509Module.X509Certificate;

interface Authority {
  readonly certificate: X509Certificate;
  readonly key: CryptoKey;
}
type CryptoKey = webcrypto.CryptoKey;

/**
 * Writes `ca.crt`, `server.crt`, `client-<domain>.crt` and the `.key` of each (mode 0600). Returns the paths written.
 * Throws before anything is written where a file is there already, or a name is no domain's.
 */
export async function makeCertificates(directory: string, options: CertsOptions): Promise<readonly string[]> {
  for (const domain of options.domain) {
    if (!DOMAIN_ID.test(domain)) throw new Error(`"${domain}" is no domain name`);
  }
  if (!(options.days > 0 && options.days <= CA_DAYS)) throw new Error(`--days must be from 1 to ${CA_DAYS}`);
  const hasAuthority = existsSync(join(directory, "ca.crt")) || existsSync(join(directory, "ca.key"));
  if (hasAuthority && options.caName !== undefined) {
    throw new Error(`${directory} has a CA already; it is used where --ca-name is left out`);
  }
  const clients = [...new Set(options.domain)].map((domain) => ({ file: `client-${domain}`, domain }));
  const leaves = [...(options.server.length > 0 ? ["server"] : []), ...clients.map(({ file }) => file)];
  if (hasAuthority && leaves.length === 0) throw new Error("nothing to make: name --server or --domain");
  const taken = leaves.flatMap((file) => [`${file}.crt`, `${file}.key`]).filter((file) => existsSync(join(directory, file)));
  if (taken.length > 0) throw new Error(`${directory} has ${taken.join(", ")} already; nothing is overwritten`);

  const x509 = await loadX509();
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const written: string[] = [];
  const save = async (file: string, text: string, mode: number): Promise<void> => {
    const path = join(directory, file);
    await writeFile(path, text, { flag: "wx", mode });
    written.push(path);
  };
  const saveBoth = async (file: string, certificate: X509Certificate, key: CryptoKey): Promise<void> => {
    await save(`${file}.key`, KeyObject.from(key).export({ type: "pkcs8", format: "pem" }).toString(), 0o600);
    await save(`${file}.crt`, `${certificate.toString("pem")}\n`, 0o644);
  };

  let authority: Authority;
  if (hasAuthority) {
    authority = await readAuthority(x509, directory);
  } else {
    authority = await newAuthority(x509, options.caName ?? "Muster development CA");
    await saveBoth("ca", authority.certificate, authority.key);
  }
  const issue = async (file: string, name: string, extensions: x509Module.Extension[]): Promise<void> => {
    const { certificate, key } = await newLeaf(x509, authority, name, options.days, extensions);
    await saveBoth(file, certificate, key);
  };
  const [firstName] = options.server;
  if (firstName !== undefined) {
    const names = options.server.map((name) => ({ type: isIP(name) === 0 ? ("dns" as const) : ("ip" as const), value: name }));
    const usage = new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]);
    await issue("server", firstName, [usage, new x509.SubjectAlternativeNameExtension(names)]);
  }
  for (const { file, domain } of clients) {
    await issue(file, domain, [new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.clientAuth])]);
  }
  return written;
}

/** Loaded for this command alone. The library needs the polyfill to be there first. */
async function loadX509(): Promise<X509> {
  await import("reflect-metadata");
  const x509 = await import("@peculiar/x509");
  x509.cryptoProvider.set(webcrypto);
  return x509;
}

async function newAuthority(x509: X509, name: string): Promise<Authority> {
  const keys = await newKeys();
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    ...validFor(CA_DAYS),
    serialNumber: newSerial(),
    name: [{ CN: [name] }],
    keys,
    signingAlgorithm: ALGORITHM,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { certificate, key: keys.privateKey };
}

async function readAuthority(x509: X509, directory: string): Promise<Authority> {
  const certificate = new x509.X509Certificate(await readFile(join(directory, "ca.crt"), "utf8"));
  const key = createPrivateKey(await readFile(join(directory, "ca.key"), "utf8"));
  const der = key.export({ type: "pkcs8", format: "der" });
  return { certificate, key: await webcrypto.subtle.importKey("pkcs8", der, ALGORITHM, true, ["sign"]) };
}

async function newLeaf(x509: X509, authority: Authority, name: string, days: number, extensions: x509Module.Extension[]): Promise<Authority> {
  const keys = await newKeys();
  const certificate = await x509.X509CertificateGenerator.create({
    ...validFor(days),
    serialNumber: newSerial(),
    subject: [{ CN: [name] }],
    issuer: authority.certificate.subjectName,
    publicKey: keys.publicKey,
    signingKey: authority.key,
    signingAlgorithm: ALGORITHM,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      await x509.AuthorityKeyIdentifierExtension.create(authority.certificate),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      ...extensions,
    ],
  });
  return { certificate, key: keys.privateKey };
}

function newKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
}

/** Positive, 127 bits. */
function newSerial(): string {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
  return bytes.toString("hex");
}

function validFor(days: number): { notBefore: Date; notAfter: Date } {
  const now = Date.now();
  return { notBefore: new Date(now - SKEW_MS), notAfter: new Date(now + days * DAY_MS) };
}
