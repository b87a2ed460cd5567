/**
 * Which commands of app images may be executed; pure. Making an image through the API is permission to execute its
 * commands on the server's machine, so such images are checked twice: when they are made or changed, and when a job is
 * to run them, then also by the rule of each domain in whose party they would run. Images from the server's own files are
 * its operator's, and are not checked.
 */

import { JobError, quoted } from "./error.js";
import type { AppImage, DeployTemplate } from "./image.js";

/** `any`, `none`, or those whose first word is listed. */
export type ImageCommands = "any" | "none" | ReadonlySet<string>;

export interface ImageRules {
  readonly everywhere: ImageCommands;
  /** By domain, for its parties and beside the rule for everywhere; a domain that is not named has none. */
  readonly byDomain: ReadonlyMap<string, ImageCommands>;
}

/** An image that is to be made or changed through the API. Throws Forbidden. */
export function checkCommands(image: AppImage, rule: ImageCommands): void {
  if (rule === "none") throw new JobError("Forbidden", "this server takes app images from its own files only");
  for (const [t, template] of image.deployTemplates.entries()) {
    const found = forbidden(template, rule);
    if (found === undefined) continue;
    const field = `deploy_templates[${t}].containers[${found.container}].command`;
    throw new JobError("Forbidden", `${field}: ${quoted(found.program)} is not among the commands that this server allows`, { field });
  }
}

export interface PartyToRun {
  /** Where the job names the party, e.g. `tasks[0].parties[1]`. */
  readonly field: string;
  readonly domain: string;
  readonly image: AppImage;
  readonly template: DeployTemplate;
}

/** A party of a job that is to be made. Throws Forbidden. */
export function checkPartyCommands({ field, domain, image, template }: PartyToRun, rules: ImageRules): void {
  if (image.directory !== "" && image.templatesFromApi !== true) return;
  const sides = [
    ["this server", rules.everywhere],
    [`domain "${domain}"`, rules.byDomain.get(domain) ?? "any"],
  ] as const;
  for (const [who, rule] of sides) {
    const found = forbidden(template, rule);
    if (found === undefined) continue;
    const what = rule === "none" ? "runs app images from the server's own files only" : `does not allow the command ${quoted(found.program)}`;
    throw new JobError("Forbidden", `${field}: ${who} ${what} (app image ${quoted(image.name)})`, { field });
  }
}

/** The first command of the template that the rule does not allow. */
function forbidden(template: DeployTemplate, rule: ImageCommands): { container: number; program: string } | undefined {
  if (rule === "any") return undefined;
  for (const [container, { command, args }] of template.containers.entries()) {
    const program = command[0] ?? args[0] ?? "";
    if (rule === "none" || !rule.has(program)) return { container, program };
  }
  return undefined;
}
