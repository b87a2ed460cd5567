import { mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type AccessOptions, type Authenticate, createAuthenticator } from "../src/access.js";
import { digestOf } from "../src/access/credentials.js";
import { ConfigError } from "../src/config.js";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "muster-access-"));
});
afterAll(() => rm(folder, { recursive: true }));

const NOW = Date.parse("2026-06-01T00:00:00Z");
const KNOWN = new Set(["alice", "bob", "carol"]);
const CREDENTIALS = `
- {name: ops, role: master, token: ops-token}
- {name: alice-old, role: domain, domain: alice, token: alice-old-token, expires: 2026-06-01}
- {name: alice-new, role: domain, domain: alice, token-sha256: ${digestOf("alice-new-token").toString("hex")}, expires: "2026-06-01T02:00:00+01:00"}
- {name: bob, role: domain, domain: bob, token: bob-token}
- {name: 7, role: domain, domain: carol, token: 0012, gateway: false}
- {name: gateway, role: master, token: gateway-token, gateway: true}
- {name: edge, role: domain, domain: alice, token: edge-token, gateway: true}
`;

let files = 0;
async function fileWith(text: string): Promise<string> {
  const path = join(folder, `file-${(files += 1)}`);
  await writeFile(path, text);
  return path;
}

type Given = Partial<AccessOptions> & { readonly credentials?: string; readonly tokens?: string };

async function authenticatorFor({ credentials, tokens, ...options }: Given): Promise<Authenticate> {
  return createAuthenticator({
    tokenFile: tokens === undefined ? null : await fileWith(tokens),
    credentialsFile: credentials === undefined ? null : await fileWith(credentials),
    certificates: false,
    domains: KNOWN,
    rateLimit: null,
    now: () => NOW,
    onReload: () => undefined,
    ...options,
  });
}

/** `master`, a domain's name, or the refusal. */
function who(authenticate: Authenticate, headers: Record<string, string>, commonName?: string | null, expires = NOW + 1): string {
  const certificate = commonName === undefined ? null : { commonName, expires };
  const admission = authenticate(new Headers(headers), certificate);
  return admission.kind === "Admitted" ? (admission.actor.domain ?? admission.actor.role) : admission.kind;
}

const NOBODY = "Unauthenticated";

describe("tokens", () => {
  test("say who comes, in any of three places", async () => {
    const authenticate = await authenticatorFor({ credentials: CREDENTIALS });
    expect(who(authenticate, { token: "ops-token" })).toBe("master");
    expect(who(authenticate, { Token: "bob-token" })).toBe("bob");
    expect(who(authenticate, { authorization: "Bearer bob-token" })).toBe("bob");
    expect(who(authenticate, { authorization: "bearer  bob-token" })).toBe("bob");
    expect([who(authenticate, { token: "0012" }), who(authenticate, { token: "12" })]).toEqual(["carol", NOBODY]);
    for (const headers of [{}, { token: "" }, { token: "bob-toke" }, { token: "bob-token2" }, { authorization: "Basic bob-token" }]) {
      expect([headers, who(authenticate, headers)]).toEqual([headers, NOBODY]);
    }
  });

  test("may come as the password of any user, and then prove nothing about who had it sent", async () => {
    const authenticate = await authenticatorFor({ credentials: `${CREDENTIALS}- {name: odd, role: master, token: "a:b"}\n` });
    const basic = (pair: string) => ({ authorization: `Basic ${Buffer.from(pair).toString("base64")}` });
    expect([who(authenticate, basic("ADMIN:bob-token")), who(authenticate, basic(":ops-token"))]).toEqual(["bob", "master"]);
    expect([who(authenticate, basic("x:a:b")), who(authenticate, basic("a:b"))]).toEqual(["master", NOBODY]);
    expect([who(authenticate, basic("bob-token")), who(authenticate, basic("bob-token:"))]).toEqual([NOBODY, NOBODY]);
    const ambient = (headers: Record<string, string>) => authenticate(new Headers(headers), null);
    expect(ambient(basic("x:bob-token"))).toMatchObject({ kind: "Admitted", ambient: true });
    expect(ambient({ ...basic("x:ops-token"), token: "bob-token" })).toMatchObject({ actor: { domain: "bob" }, ambient: false });
    expect(who(authenticate, { ...basic("x:ops-token"), token: "nobody's" })).toBe(NOBODY);
  });

  test("are worth nothing from their expiry on", async () => {
    let now = NOW;
    const authenticate = await authenticatorFor({ credentials: CREDENTIALS, now: () => now });
    expect(who(authenticate, { token: "alice-old-token" })).toBe(NOBODY);
    expect(who(authenticate, { token: "alice-new-token" })).toBe("alice");
    now = Date.parse("2026-06-01T01:00:00Z");
    expect(who(authenticate, { token: "alice-new-token" })).toBe(NOBODY);
  });

  test("of a token file are master tokens, beside those of the credentials file", async () => {
    const authenticate = await authenticatorFor({ tokens: "# ours\n\n  plain  \nbob-token\n", credentials: CREDENTIALS });
    expect(who(authenticate, { token: "plain" })).toBe("master");
    expect(who(authenticate, { token: "# ours" })).toBe(NOBODY);
    expect(who(authenticate, { token: "bob-token" })).toBe("bob");
  });

  test("without either file nobody needs one, and nothing that is shown counts", async () => {
    const authenticate = await authenticatorFor({});
    const admission = authenticate(new Headers({ token: "x", "kuscia-source": "bob" }), null);
    expect(admission).toEqual({ kind: "Admitted", actor: { role: "master", domain: null }, ambient: true });
  });
});

describe("Kuscia-Source", () => {
  test("is believed from a gateway alone, and names a domain", async () => {
    const authenticate = await authenticatorFor({ credentials: CREDENTIALS });
    const as = (token: string, source: string) => who(authenticate, { token, "kuscia-source": source });
    expect(as("gateway-token", "carol")).toBe("carol");
    expect(as("edge-token", "carol")).toBe("carol");
    expect(as("gateway-token", "mallory")).toBe(NOBODY);
    expect(as("gateway-token", "")).toBe(NOBODY);
    expect(as("ops-token", "carol")).toBe("master");
    expect(as("bob-token", "carol")).toBe("bob");
    expect(who(authenticate, { "kuscia-source": "carol" })).toBe(NOBODY);
    expect(who(authenticate, { token: "gateway-token" })).toBe("master");
    expect(who(authenticate, { token: "edge-token" })).toBe("alice");
  });
});

describe("client certificates", () => {
  test("name a domain where no token is shown", async () => {
    const authenticate = await authenticatorFor({ certificates: true });
    expect(who(authenticate, {}, "alice")).toBe("alice");
    for (const name of ["mallory", "Alice", "", null]) expect([name, who(authenticate, {}, name)]).toEqual([name, NOBODY]);
    expect(who(authenticate, {}, "alice", NOW)).toBe(NOBODY);
    expect(who(authenticate, {})).toBe(NOBODY);
    expect(who(authenticate, { "kuscia-source": "bob" }, "alice")).toBe("alice");
    expect(who(authenticate, { authorization: "Basic nonsense" }, "alice")).toBe(NOBODY);
  });

  test("do not count against a token, but must not be another domain's", async () => {
    const authenticate = await authenticatorFor({ certificates: true, credentials: CREDENTIALS });
    expect(who(authenticate, { token: "bob-token" }, "bob")).toBe("bob");
    expect(who(authenticate, { token: "bob-token" }, "alice")).toBe(NOBODY);
    expect(who(authenticate, { token: "bob-token" }, "a-laptop")).toBe("bob");
    expect(who(authenticate, { token: "ops-token" }, "alice")).toBe("master");
    expect(who(authenticate, { token: "wrong" }, "alice")).toBe(NOBODY);
    expect(who(authenticate, { token: "bob-token" }, "bob", NOW)).toBe(NOBODY);
  });

  test("may name any domain where the domains are not configured", async () => {
    const authenticate = await authenticatorFor({ certificates: true, domains: null });
    expect([who(authenticate, {}, "dave"), who(authenticate, {}, "Dave & Co")]).toEqual(["dave", NOBODY]);
  });

  test("are shown by browsers unasked, tokens are not", async () => {
    const authenticate = await authenticatorFor({ certificates: true, credentials: CREDENTIALS });
    const certificate = { commonName: "bob", expires: NOW + 1 };
    expect(authenticate(new Headers(), certificate)).toMatchObject({ ambient: true });
    expect(authenticate(new Headers({ token: "bob-token" }), certificate)).toMatchObject({ ambient: false });
  });
});

describe("a limit of requests", () => {
  test("counts each credential by itself, and those that are nobody's not at all", async () => {
    let now = NOW;
    const authenticate = await authenticatorFor({
      credentials: CREDENTIALS,
      rateLimit: { perSecond: 1, burst: 2 },
      now: () => now,
    });
    const bob = () => authenticate(new Headers({ token: "bob-token" }), null);
    expect([bob().kind, bob().kind, bob()]).toEqual(["Admitted", "Admitted", { kind: "TooMany", waitMs: 1000 }]);
    for (let i = 0; i < 9; i += 1) expect(who(authenticate, { token: "wrong" })).toBe(NOBODY);
    expect(who(authenticate, { token: "alice-new-token" })).toBe("alice");
    now += 1000;
    expect([bob().kind, bob().kind]).toEqual(["Admitted", "TooMany"]);
  });

  test("is narrowed by a credential's own, and never widened", async () => {
    const credentials = `
- {name: slow, role: master, token: slow-token, rate-limit: {per-second: 0.5}}
- {name: wide, role: master, token: wide-token, rate-limit: {per-second: 100, burst: 100}}
`;
    let now = NOW;
    const kinds = (authenticate: Authenticate, token: string, times: number) =>
      Array.from({ length: times }, () => authenticate(new Headers({ token }), null)).filter(({ kind }) => kind === "Admitted").length;
    const limited = await authenticatorFor({ credentials, rateLimit: { perSecond: 2, burst: 5 }, now: () => now });
    expect([kinds(limited, "slow-token", 10), kinds(limited, "wide-token", 10)]).toEqual([1, 5]);
    now += 1000;
    expect([kinds(limited, "slow-token", 10), kinds(limited, "wide-token", 10)]).toEqual([0, 2]);
    const free = await authenticatorFor({ credentials, now: () => now });
    expect([kinds(free, "slow-token", 10), kinds(free, "wide-token", 200)]).toEqual([1, 100]);
  });
});

test("a credential's own bound of bodies goes along with it, also where it speaks for others", async () => {
  const credentials = `
- {name: small, role: master, token: small-token, max-body-bytes: 1000, gateway: true}
- {name: other, role: master, token: other-token}
`;
  const authenticate = await authenticatorFor({ credentials, certificates: true });
  const boundOf = (headers: Record<string, string>) => {
    const admission = authenticate(new Headers(headers), { commonName: "alice", expires: NOW + 1 });
    return admission.kind === "Admitted" ? (admission.maxBodyBytes ?? "everyone's") : admission.kind;
  };
  expect(boundOf({ token: "small-token" })).toBe(1000);
  expect(boundOf({ token: "small-token", "kuscia-source": "bob" })).toBe(1000);
  expect([boundOf({ token: "other-token" }), boundOf({})]).toEqual(["everyone's", "everyone's"]);
});

describe("files that change", () => {
  const ROTATED = "- {name: bob-2, role: domain, domain: bob, token: bob-second}\n";

  test("are read again; a broken one is reported once and changes nothing", async () => {
    let now = NOW;
    const reloads: unknown[] = [];
    const credentialsFile = await fileWith(CREDENTIALS);
    const authenticate = await authenticatorFor({
      credentialsFile,
      now: () => (now += 1000),
      onReload: (file, result) => reloads.push([file, "error" in result ? String(result.error) : result]),
    });
    expect(who(authenticate, { token: "bob-token" })).toBe("bob");
    await writeFile(credentialsFile, "- {name: bob, role: king}\n");
    expect([who(authenticate, { token: "bob-token" }), who(authenticate, { token: "bob-token" })]).toEqual(["bob", "bob"]);
    await rm(credentialsFile);
    expect(who(authenticate, { token: "bob-token" })).toBe("bob");
    // As careful writers do it: a whole new file takes the place of the old.
    await rename(await fileWith(ROTATED), credentialsFile);
    expect([who(authenticate, { token: "bob-token" }), who(authenticate, { token: "bob-second" })]).toEqual([NOBODY, "bob"]);
    expect(reloads).toEqual([
      [credentialsFile, expect.stringContaining('entry 1 "bob": role: ')],
      [credentialsFile, expect.stringContaining("ENOENT")],
      [credentialsFile, { credentials: 1 }],
    ]);
  });

  test("end what was let in before, where its token is gone or now means another, and nothing else", async () => {
    let now = NOW;
    const credentialsFile = await fileWith(CREDENTIALS);
    const authenticate = await authenticatorFor({ credentialsFile, now: () => (now += 1000) });
    const admitted = ["ops-token", "bob-token", "edge-token", "gateway-token"].map((token) =>
      authenticate(new Headers({ token, "kuscia-source": "carol" }), null),
    );
    const holding = (): unknown[] => admitted.map((each) => each.kind === "Admitted" && each.holds?.());
    expect(holding()).toEqual([true, true, true, true]);
    await writeFile(
      credentialsFile,
      `
- {name: ops-renamed, role: master, token: ops-token}
- {name: bob, role: domain, domain: alice, token: bob-token}
- {name: edge, role: domain, domain: alice, token: edge-token}
`,
    );
    expect(holding()).toEqual([true, false, false, false]);
  });

  test("are looked at once a second at most", async () => {
    let now = NOW;
    const tokenFile = await fileWith("one\n");
    const authenticate = await authenticatorFor({ tokenFile, now: () => now });
    await writeFile(tokenFile, "one\ntwo\n");
    now += 999;
    expect(who(authenticate, { token: "two" })).toBe(NOBODY);
    now += 1;
    expect(who(authenticate, { token: "two" })).toBe("master");
  });
});

describe("a broken file at start is a fault of the configuration, with the entry and the field", () => {
  async function faultsOf(given: Given): Promise<string[]> {
    try {
      await authenticatorFor(given);
    } catch (error) {
      if (error instanceof ConfigError) return error.faults.map((fault) => fault.replace(/^.*file-\d+: /, ""));
      throw error;
    }
    throw new Error("was accepted");
  }
  const HASH = "0".repeat(64);

  test.each([
    ["- {name: a, role: domain, token: t}", ['entry 1 "a": domain: is needed for role "domain"']],
    ["- {name: a, role: master, token: t}\n- {name: b, role: domain, domain: dave, token: u}", ['entry 2 "b": domain: "dave" is no domain of this server']],
    ["- {name: a, role: master, domain: alice, token: t}", ['entry 1 "a": domain: does not go with role "master"']],
    ["- {name: a, role: master}", ['entry 1 "a": token-sha256: is needed, or token']],
    [`- {name: a, role: master, token: t, token-sha256: ${HASH}}`, ['entry 1 "a": token: does not go with token-sha256']],
    ["- {name: a, role: master, token-sha256: 12ab}", ['entry 1 "a": token-sha256: must be 64 hexadecimal digits']],
    ["- {name: a, role: master, token: two words}", ['entry 1 "a": token: must be a word of visible ASCII characters']],
    ["- {name: a, role: master, token: t, expires: soon}", ['entry 1 "a": expires: must be an ISO time, e.g. 2027-01-31T00:00:00Z']],
    ["- {name: a, role: master, token: t, max-body-bytes: 64MB}", ['entry 1 "a": max-body-bytes: must be a whole number of bytes above 0']],
    ["- {name: a, role: master, token: t, max-body-bytes: 0}", ['entry 1 "a": max-body-bytes: must be a whole number of bytes above 0']],
    ["- {name: a, role: master, token: t, rate-limit: {per-second: 0.0}}", ['entry 1 "a": rate-limit: per-second: must be a number above 0 and below 1000000']],
    ["- {name: a, role: master, token: t, rate-limit: {per-second: 1, burst: 1.5}}", ['entry 1 "a": rate-limit: burst: must be a whole number from 1 to 999999']],
    ["- {name: a, role: master, token: t}\n- {name: a, role: master, token: u}", ['entry 2 "a": name: another entry has it']],
    ["- {name: a, role: master, token: t}\n- {name: b, role: master, token: t}", ['entry 2 "b": token: another entry has the same']],
    ["[]", ["must be a list with at least one entry"]],
    ["name: a", ["must be a list with at least one entry"]],
  ])("%s", async (credentials, faults) => {
    expect(await faultsOf({ credentials })).toEqual(faults);
  });

  test("several at once, unknown fields too, and never the token", async () => {
    const faults = await faultsOf({ credentials: "- {name: a, role: king, token: secret}\n- {role: master, token: secret, tokn: x}\n- just text" });
    expect(faults).toHaveLength(4);
    expect(faults[0]).toMatch(/^entry 1 "a": role: /);
    expect(faults[1]).toMatch(/^entry 2: name: /);
    expect(faults[2]).toMatch(/^entry 2: .*"tokn"/);
    expect(faults[3]).toMatch(/^entry 3: /);
    expect((await faultsOf({ credentials: "- {name: a, token: secret\n- x: [" })).join()).toMatch(/^is no YAML: /);
    expect([...faults, ...(await faultsOf({ credentials: "- {name: a, token: secret\n- x: [" }))].join()).not.toContain("secret");
  });

  test.each([
    ["*secret", "is no YAML: an alias has no anchor, or is used too often"],
    ["|secret", "is no YAML: unexpected token in line 2"],
    ['"\\qsecret"', "is no YAML: bad dq escape in line 2"],
    ["!secret", 'entry 1 "a": token: must be a word of visible ASCII characters'],
  ])("a token that YAML reads otherwise is told nowhere: %s", async (token, fault) => {
    const warned: Error[] = [];
    const onWarning = (warning: Error): void => void warned.push(warning);
    process.on("warning", onWarning);
    const faults = await faultsOf({ credentials: `- name: a\n  token: ${token}\n  role: master\n` });
    // Warnings are told in the next tick.
    await new Promise(setImmediate);
    process.off("warning", onWarning);
    expect(faults).toEqual([fault]);
    expect(warned).toEqual([]);
  });

  test("a file that is not there, a token file without a token", async () => {
    expect((await faultsOf({ credentialsFile: join(folder, "absent") }))[0]).toMatch(/ENOENT/);
    expect(await faultsOf({ tokens: "# nothing\n\n" })).toEqual(["holds no token"]);
  });
});
