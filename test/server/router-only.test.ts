/** What is tested of calls, once more with every call going through the Connect router. */

import { describe } from "vitest";
import { frontDefaults } from "../front.js";

frontDefaults.fastPaths = false;

// Each has its hooks for itself.
describe("server", async () => void (await import("../server.test.js")));
describe("credentials", async () => void (await import("./credentials.test.js")));
describe("head", async () => void (await import("./head.test.js")));
describe("limits", async () => void (await import("./limits.test.js")));
describe("rate", async () => void (await import("./rate.test.js")));
describe("slow", async () => void (await import("./slow.test.js")));
describe("unary", async () => void (await import("./unary.test.js")));
describe("unknown methods", async () => void (await import("./unknown-method.test.js")));
describe("Kuscia calls", async () => void (await import("../surfaces/kuscia/calls.test.js")));
describe("Kuscia errors", async () => void (await import("../surfaces/kuscia/errors.test.js")));
describe("Kuscia over grpc-js", async () => void (await import("../surfaces/kuscia/grpc-js.test.js")));
describe("Muster's own calls", async () => void (await import("../surfaces/muster.test.js")));
