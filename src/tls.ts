/** The server's own certificate: read at start, and again when its files have changed. */

import { createSecureContext } from "node:tls";
import { ConfigError, type TlsFiles } from "./config.js";
import { KeptFile } from "./kept-file.js";

/** PEM texts that fit together. Other material is another object. */
export interface TlsMaterial {
  readonly cert: string;
  readonly key: string;
  /** Signs the client certificates. Where it is there, no client gets in without one. */
  readonly clientCa?: string;
}

export interface TlsSourceOptions {
  readonly files: TlsFiles;
  readonly now: () => number;
  /** The files have changed: new material is in force, or the error says why the old stays. */
  readonly onReload: (error?: unknown) => void;
}

/** Throws ConfigError where a file cannot be read, is no PEM, or certificate and key do not belong together. */
export function createTlsSource({ files, now, onReload }: TlsSourceOptions): () => TlsMaterial {
  const open = (setting: string, path: string): KeptFile<string> => {
    try {
      return new KeptFile(path, { parse: (text) => text, now, onFault: onReload, onChange: () => undefined });
    } catch (error) {
      throw new ConfigError([`${setting}: ${messageOf(error)}`]);
    }
  };
  const cert = open("tls.cert", files.cert);
  const key = open("tls.key", files.key);
  const clientCa = files.clientCa === null ? undefined : open("tls.ca", files.clientCa);
  const read = (): TlsMaterial => ({
    cert: cert.content,
    key: key.content,
    ...(clientCa === undefined ? {} : { clientCa: clientCa.content }),
  });

  let seen = read();
  try {
    check(seen);
  } catch (error) {
    const where = [files.cert, files.key, ...(files.clientCa === null ? [] : [files.clientCa])].join(", ");
    throw new ConfigError([`tls: ${messageOf(error)} (${where})`]);
  }
  let good = seen;
  return () => {
    const latest = read();
    if (latest.cert === seen.cert && latest.key === seen.key && latest.clientCa === seen.clientCa) return good;
    // Certificate and key are replaced one after the other: between the two they do not fit, and the old ones stay.
    seen = latest;
    try {
      check(latest);
      good = latest;
      onReload();
    } catch (error) {
      onReload(error);
    }
    return good;
  };
}

/** Throws what OpenSSL has against it, and where a text is empty, which OpenSSL takes for none at all. */
function check({ cert, key, clientCa }: TlsMaterial): void {
  if (!cert.includes(CERTIFICATE)) throw new Error("tls.cert holds no certificate");
  if (!key.includes("PRIVATE KEY-----")) throw new Error("tls.key holds no private key");
  if (clientCa !== undefined && !clientCa.includes(CERTIFICATE)) throw new Error("tls.ca holds no certificate");
  createSecureContext({ cert, key, ...(clientCa === undefined ? {} : { ca: clientCa }) });
}

const CERTIFICATE = "-----BEGIN CERTIFICATE-----";

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
