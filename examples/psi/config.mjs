/**
 * What the platform gives the app: the rendered config file, the party's data folder and nothing else.
 * Field names follow the SecretFlow node evaluation parameters that Kuscia's published job example carries.
 */

import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { Attributes } from "./attributes.mjs";
import { Failure } from "./failure.mjs";
import { asList, asObject, asText, asTexts, canonicalJson, parseObject } from "./json.mjs";

/** The container port on which the two parties speak. */
export const PORT_NAME = "psi";
const DATA_SOURCE = "default-data-source";

/**
 * @typedef {object} Endpoints
 * @property {string} self own party's name
 * @property {string} partner
 * @property {string} partnerEndpoint `host:port`, or `host` for port 80
 * @property {string} listenHost
 * @property {number} listenPort
 */

/**
 * @typedef {object} Task
 * @property {string} taskId
 * @property {Endpoints} endpoints
 * @property {readonly [string, string]} parties receiver and sender: the order of `sf_cluster_desc.parties`
 * @property {string} component `domain/name version`
 * @property {Attributes} attributes
 * @property {readonly string[]} inputIds
 * @property {readonly string[]} outputIds empty, or one per output uri
 * @property {readonly string[]} outputUris
 * @property {string} dataFolder absolute
 * @property {string} settings digest of all that both parties must have been given alike, beside task id and component
 */

/**
 * @param {string} configPath the rendered config file
 * @param {string | undefined} dataFolder the folder of this party's data
 * @returns {Promise<Task>}
 */
export async function readTask(configPath, dataFolder) {
  const text = await readFile(configPath, "utf8").catch(() => {
    throw new Failure(`cannot read the config file ${configPath}`);
  });
  const file = parseObject(text, `the config file ${configPath}`);
  const input = parseObject(asText(file["task_input_config"], "task_input_config"), "task_input_config");
  // Published images name the cluster definition in either of these two ways.
  const cluster = asText(file["task_cluster_def"] ?? file["task_input_cluster_def"], "task_cluster_def");
  const ports = asText(file["allocated_ports"], "allocated_ports");
  const endpoints = readEndpoints(parseObject(cluster, "task_cluster_def"), parseObject(ports, "allocated_ports"));

  const description = asObject(input["sf_cluster_desc"], "sf_cluster_desc");
  const parties = readParties(asTexts(description["parties"], "sf_cluster_desc.parties"), endpoints);
  checkDataSource(asObject(input["sf_datasource_config"], "sf_datasource_config"), endpoints.self);
  const param = asObject(input["sf_node_eval_param"], "sf_node_eval_param");
  const [domain, name, version] = ["domain", "name", "version"].map((key) => asText(param[key], `component ${key}`));
  const attributes = new Attributes(param);
  const inputIds = asTexts(input["sf_input_ids"], "sf_input_ids");
  const outputIds = asTexts(input["sf_output_ids"] ?? [], "sf_output_ids");
  const outputUris = asTexts(input["sf_output_uris"], "sf_output_uris");
  if (outputIds.length > 0 && outputIds.length !== outputUris.length) {
    throw new Failure(`sf_output_ids has ${outputIds.length} entries and sf_output_uris has ${outputUris.length}`);
  }
  const settings = canonicalJson([parties, attributes.entries(), inputIds, outputIds, outputUris]);
  return {
    taskId: asText(file["task_id"], "task_id"),
    endpoints,
    parties,
    component: `${domain}/${name} ${version}`,
    attributes,
    inputIds,
    outputIds,
    outputUris,
    dataFolder: asText(dataFolder, "the environment variable MUSTER_DOMAIN_DATA"),
    settings: createHash("sha256").update(settings).digest("hex"),
  };
}

/**
 * @param {Record<string, unknown>} cluster TASK_CLUSTER_DEFINE
 * @param {Record<string, unknown>} allocated ALLOCATED_PORTS
 * @returns {Endpoints}
 */
function readEndpoints(cluster, allocated) {
  const parties = asList(cluster["parties"], "the task's parties").map((party) => asObject(party, "party"));
  const own = parties[Number(cluster["selfPartyIdx"])];
  const [other, ...more] = parties.filter((party) => party !== own);
  if (own === undefined || other === undefined || more.length > 0) {
    throw new Failure(`this app needs exactly two parties, but the task has ${parties.length}`);
  }
  const partner = asText(other["name"], "party name");
  const port = asList(allocated["ports"], "the allocated ports")
    .map((item) => asObject(item, "allocated port"))
    .find((item) => item["name"] === PORT_NAME);
  const listenPort = Number(port?.["port"]);
  if (!Number.isInteger(listenPort)) throw new Failure(`no port named ${PORT_NAME} was allocated to this party`);
  const ownHost = endpointOf(own).replace(/:[0-9]+$/, "");
  const loopback = ownHost === "localhost" || ownHost === "[::1]" || ownHost.startsWith("127.");
  return {
    self: asText(own["name"], "party name"),
    partner,
    partnerEndpoint: endpointOf(other),
    // A loopback endpoint is bound as such; any other name may belong to a gateway in front of this process.
    listenHost: loopback ? ownHost.replace(/^\[|\]$/g, "") : "::",
    listenPort,
  };
}

/**
 * @param {Record<string, unknown>} party
 * @returns {string}
 */
function endpointOf(party) {
  const name = asText(party["name"], "party name");
  const service = asList(party["services"], `the services of ${name}`)
    .map((item) => asObject(item, "service"))
    .find((item) => item["portName"] === PORT_NAME);
  const endpoints = asTexts(service?.["endpoints"] ?? [], `the endpoints of ${name}`);
  const [endpoint] = endpoints;
  if (endpoint === undefined) throw new Failure(`party ${name} has no endpoint for the port ${PORT_NAME}`);
  if (endpoints.length === 1) return endpoint;
  throw new Failure(`party ${name} runs ${endpoints.length} instances, but this app needs one`);
}

/**
 * @param {readonly string[]} names
 * @param {Endpoints} endpoints
 * @returns {readonly [string, string]}
 */
function readParties(names, { self, partner }) {
  const [receiver, sender] = names;
  const same = names.length === 2 && names.includes(self) && names.includes(partner) && self !== partner;
  if (!same || receiver === undefined || sender === undefined) {
    throw new Failure(`sf_cluster_desc.parties is ${names.join(", ")}, but the task runs at ${self} and ${partner}`);
  }
  return [receiver, sender];
}

/**
 * @param {Record<string, unknown>} sources `sf_datasource_config`
 * @param {string} self
 */
function checkDataSource(sources, self) {
  const id = asText(asObject(sources[self], `sf_datasource_config of ${self}`)["id"], `data source id of ${self}`);
  if (id !== DATA_SOURCE) throw new Failure(`data source "${id}" of ${self} is not known, only "${DATA_SOURCE}" is`);
}
