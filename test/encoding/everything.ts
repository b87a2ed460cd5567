/** A message type with a field of each given kind: alone, optional, repeated, packed or not, in a oneof, in maps. */

import { create, createFileRegistry, type DescMessage } from "@bufbuild/protobuf";
import {
  FieldDescriptorProto_Label as Label,
  FieldDescriptorProto_Type as Type,
  FieldDescriptorProtoSchema,
  file_google_protobuf_struct,
  file_google_protobuf_wrappers,
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
} from "@bufbuild/protobuf/wkt";

export { Type };

const ALL = Object.values(Type).filter((type): type is Type => typeof type === "number" && type !== Type.GROUP);
const NO_KEYS: readonly Type[] = [Type.MESSAGE, Type.ENUM, Type.BYTES, Type.DOUBLE, Type.FLOAT];

const TYPE_NAMES: Partial<Readonly<Record<Type, string>>> = {
  [Type.MESSAGE]: ".test.Everything",
  [Type.ENUM]: ".test.Color",
};

const field = (name: string, number: number, type: Type, more: object = {}) =>
  create(FieldDescriptorProtoSchema, { name, number, type, typeName: TYPE_NAMES[type] ?? "", label: Label.OPTIONAL, ...more });

/** `wrapped`: also a StringValue, a Struct and a NullValue. */
export function everything({ without = [], wrapped }: { without?: readonly Type[]; wrapped: boolean }): DescMessage {
  const types = ALL.filter((type) => !without.includes(type));
  const keys = types.filter((type) => !NO_KEYS.includes(type));
  const singular = types.filter((type) => type !== Type.MESSAGE);
  const repeated = { label: Label.REPEATED };
  const entry = (name: string, key: Type, value: Type) => ({
    name,
    options: { mapEntry: true },
    field: [field("key", 1, key), field("value", 2, value)],
  });
  const map = (name: string, number: number, of: string) =>
    field(name, number, Type.MESSAGE, { ...repeated, typeName: `.test.Everything.${of}` });
  const known = [
    field("wrapped", 500, Type.MESSAGE, { typeName: ".google.protobuf.StringValue" }),
    field("struct", 501, Type.MESSAGE, { typeName: ".google.protobuf.Struct" }),
    field("nothing", 502, Type.ENUM, { typeName: ".google.protobuf.NullValue" }),
  ];
  const file = create(FileDescriptorProtoSchema, {
    name: "test/everything.proto",
    package: "test",
    syntax: "proto3",
    dependency: ["google/protobuf/struct.proto", "google/protobuf/wrappers.proto"],
    enumType: [{ name: "Color", value: [{ name: "NONE", number: 0 }, { name: "RED", number: 7 }, { name: "LESS", number: -1 }] }],
    messageType: [
      {
        name: "Everything",
        field: [
          ...types.map((type) => field(`one_${type}`, type, type)),
          ...types.map((type) => field(`choice_${type}`, 40 + type, type, { oneofIndex: 0 })),
          ...types.map((type) => map(`by_text_${type}`, 200 + type, `ByText${type}Entry`)),
          ...keys.map((type) => map(`by_${type}`, 300 + type, `By${type}Entry`)),
          ...types.map((type) => field(`many_${type}`, 1000 + type, type, repeated)),
          ...types.map((type) => field(`loose_${type}`, 3000 + type, type, { ...repeated, options: { packed: false } })),
          ...singular.map((type, i) => field(`maybe_${type}`, 100_000 + type, type, { oneofIndex: 1 + i, proto3Optional: true })),
          ...(wrapped ? known : []),
        ],
        oneofDecl: [{ name: "choice" }, ...singular.map((type) => ({ name: `_maybe_${type}` }))],
        nestedType: [
          ...types.map((type) => entry(`ByText${type}Entry`, Type.STRING, type)),
          ...keys.map((type) => entry(`By${type}Entry`, type, Type.STRING)),
        ],
      },
    ],
  });
  const dependencies = [file_google_protobuf_struct, file_google_protobuf_wrappers].map((each) => each.proto);
  const desc = createFileRegistry(create(FileDescriptorSetSchema, { file: [...dependencies, file] })).getMessage("test.Everything");
  if (!desc) throw new Error("the type is missing");
  return desc;
}
