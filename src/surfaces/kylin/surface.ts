/**
 * The Kylin surface: the job endpoints of Kylin's REST API (media type v2) as a view of the same jobs. Steps are tasks,
 * pause is Suspend, resume is Restart, cancel is Cancel and drop is Delete. docs/kylin-api.md is its reference.
 */

import type { Surface } from "../../surface.js";
import { refuse } from "./errors.js";
import { type KylinDependencies, kylinRoutes } from "./routes.js";

export function createKylinSurface(dependencies: KylinDependencies): Surface {
  return { name: "kylin", refuse, routes: kylinRoutes(dependencies) };
}
