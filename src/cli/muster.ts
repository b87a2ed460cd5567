#!/usr/bin/env node
/** The command line. */

import { Command, Option } from "commander";
import { type CertsOptions, makeCertificates } from "./certs.js";
import { demo } from "./demo.js";
import { packageVersion } from "./package.js";
import { migrateDatabase, serve } from "./serve.js";
import { newToken } from "./token.js";

const version = packageVersion();

const program = new Command("muster")
  .description("A job control plane for work that several organisations run together.")
  .version(version)
  .showHelpAfterError();

/** The settings that every command on the server's inside shares. Values are checked together, in config.ts. */
function withSettings(command: Command): Command {
  const setting = (flag: string, text: string, variable: string): Option => new Option(flag, `${text} [env: ${variable}]`);
  return command
    .addOption(setting("--config <file>", "settings file (default: muster.yaml where it exists)", "MUSTER_CONFIG"))
    .addOption(setting("--data <dir>", "data directory (default: .muster)", "MUSTER_DATA"))
    .addOption(setting("--database-url <url>", "Postgres to use (default: an embedded one under the data directory)", "DATABASE_URL"))
    .addOption(setting("--log-level <level>", "fatal, error, warn, info, debug, trace or silent (default: info)", "MUSTER_LOG_LEVEL"));
}

const flagsOf = (options: Record<string, string | undefined>): Record<string, string | undefined> =>
  Object.fromEntries(
    Object.entries(options).map(([name, value]) => [name.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`), value]),
  );

withSettings(program.command("serve"))
  .description("serve gRPC, gRPC-Web, Connect and REST on one port")
  .addOption(new Option("--listen <host:port>", "address (default: 127.0.0.1:8082) [env: MUSTER_LISTEN]"))
  .addOption(new Option("--app-images <dir>", "folder of AppImage YAML files to load [env: MUSTER_APP_IMAGES]"))
  .addOption(new Option("--listen-grpc <host:port>", "a second port for the same (default: none) [env: MUSTER_LISTEN_GRPC]"))
  .addOption(
    new Option(
      "--listen-reports <host:port>",
      "with TLS, loopback port for the apps' progress reports (default: 127.0.0.1:8050) [env: MUSTER_LISTEN_REPORTS]",
    ),
  )
  .addOption(new Option("--protocol <protocol>", "NOTLS, TLS or MTLS (default: NOTLS) [env: MUSTER_PROTOCOL]"))
  .addOption(new Option("--tls-cert <file>", "the server's certificate, PEM [env: MUSTER_TLS_CERT]"))
  .addOption(new Option("--tls-key <file>", "its private key, PEM [env: MUSTER_TLS_KEY]"))
  .addOption(new Option("--tls-ca <file>", "what signs client certificates, PEM; for MTLS [env: MUSTER_TLS_CA]"))
  .addOption(new Option("--credentials <file>", "YAML list of tokens with their roles [env: MUSTER_CREDENTIALS]"))
  .addOption(new Option("--token-file <file>", "the simple form: one master token a line [env: MUSTER_TOKEN_FILE]"))
  .addOption(
    new Option("--heartbeat-seconds <n>", "quiet time before a watch gets a HEARTBEAT (default: 10) [env: MUSTER_HEARTBEAT_SECONDS]"),
  )
  .addOption(new Option("--workers <n>", "processes that share the port (default: 0, this one serves it) [env: MUSTER_WORKERS]"))
  .action((options: Record<string, string | undefined>) => serve(flagsOf(options), version));

withSettings(program.command("migrate"))
  .description("bring the database to this version's schema and end")
  .action((options: Record<string, string | undefined>) => migrateDatabase(flagsOf(options)));

program
  .command("demo")
  .description("run the two-party example job on a server of its own and watch it")
  .option("--data <dir>", "data directory of the demo", ".muster/demo")
  .action((options: { data: string }) => demo(options.data));

const list = (text: string): string[] => text.split(",").filter((part) => part !== "");

program
  .command("certs")
  .argument("<dir>", "folder for the files; made where it is not there")
  .description("make a CA, a server certificate and client certificates for TLS and MTLS; a CA that is there is used")
  .option("--ca-name <name>", 'name of a new CA (default: "Muster development CA")')
  .option("--server <names>", "names and addresses of the server, separated by commas", list, [])
  .option("--domain <domain>", "a domain's client certificate; may be repeated", (name, all: string[]) => [...all, name], [])
  .option("--days <n>", "how long the certificates hold; a new CA holds ten years", Number, 365)
  .action(async (directory: string, options: CertsOptions) => {
    for (const file of await makeCertificates(directory, options)) console.log(file);
  });

program
  .command("token")
  .description("print a new random token, and its SHA-256 for the credentials file")
  .action(() => {
    const { token, sha256 } = newToken();
    console.log(`token: ${token}\ntoken-sha256: ${sha256}`);
  });

try {
  await program.parseAsync();
} catch (error) {
  console.error(`muster: ${error instanceof Error ? error.message : String(error)}`);
  if (error instanceof Error && error.cause instanceof Error) console.error(`  because: ${error.cause.message}`);
  process.exitCode = 1;
}
