/** How messages are written and read as JSON: snake_case names with defaults, as on REST. Unknown fields are dropped. */

import type { JsonReadOptions, JsonWriteOptions } from "@bufbuild/protobuf";
import { jsonExcess } from "./guard.js";

interface JsonOptions extends Partial<JsonReadOptions>, Partial<JsonWriteOptions> {
  /** Connect decodes bodies with it; what it throws becomes `invalid_argument`. */
  readonly textDecoder: { decode(input?: Uint8Array): string };
}

const utf8 = new TextDecoder("utf-8", { fatal: true });

export const jsonOptions: JsonOptions = {
  useProtoFieldName: true,
  alwaysEmitImplicit: true,
  ignoreUnknownFields: true,
  textDecoder: {
    decode(input = new Uint8Array()) {
      const excess = jsonExcess(input);
      if (excess !== undefined) throw new Error(`JSON ${excess}`);
      return utf8.decode(input);
    },
  },
};
