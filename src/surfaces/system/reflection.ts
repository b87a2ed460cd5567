/**
 * gRPC server reflection, v1 and v1alpha (grpc/reflection/v1/reflection.proto): clients without the protos ask for
 * them. Everything is answered from the generated descriptors of the services that the router serves.
 */

import {
  create,
  type DescExtension,
  type DescFile,
  type DescService,
  fromBinary,
  type MessageInitShape,
  toBinary,
} from "@bufbuild/protobuf";
import { nestedTypes } from "@bufbuild/protobuf/reflect";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { Code, type ConnectRouter } from "@connectrpc/connect";
import {
  ServerReflection,
  type ServerReflectionRequest,
  ServerReflectionRequestSchema,
  type ServerReflectionResponse,
  ServerReflectionResponseSchema,
} from "../../../gen/grpc/reflection/v1/reflection_pb.js";
import * as v1alpha from "../../../gen/grpc/reflection/v1alpha/reflection_pb.js";

type Question = ServerReflectionRequest["messageRequest"];
type Answer = NonNullable<MessageInitShape<typeof ServerReflectionResponseSchema>["messageResponse"]>;

/** The services are read at the first question, when every surface has registered its own. */
export function registerReflection(router: ConnectRouter): void {
  let index: DescriptorIndex | undefined;
  const respond = (request: ServerReflectionRequest): ServerReflectionResponse => {
    index ??= new DescriptorIndex(new Set(router.handlers.map((handler) => handler.service)));
    const messageResponse = index.answer(request.messageRequest);
    const init = { validHost: request.host, originalRequest: request, messageResponse };
    return create(ServerReflectionResponseSchema, init);
  };
  router.service(ServerReflection, {
    async *serverReflectionInfo(requests) {
      for await (const request of requests) yield respond(request);
    },
  });
  router.service(v1alpha.ServerReflection, {
    async *serverReflectionInfo(requests) {
      for await (const request of requests) {
        // The two versions differ in nothing but the name of their package.
        const bytes = toBinary(v1alpha.ServerReflectionRequestSchema, request);
        const response = respond(fromBinary(ServerReflectionRequestSchema, bytes));
        yield fromBinary(v1alpha.ServerReflectionResponseSchema, toBinary(ServerReflectionResponseSchema, response));
      }
    },
  });
}

class DescriptorIndex {
  private readonly services: readonly string[];
  private readonly files = new Map<string, DescFile>();
  private readonly symbols = new Map<string, DescFile>();
  private readonly extensions: DescExtension[] = [];

  constructor(services: ReadonlySet<DescService>) {
    this.services = [...services].map((service) => service.typeName).sort();
    for (const service of services) this.addFile(service.file);
  }

  answer(question: Question): Answer {
    switch (question.case) {
      case "listServices":
        return { case: "listServicesResponse", value: { service: this.services.map((name) => ({ name })) } };
      case "fileByFilename":
        return fileAnswer(this.files.get(question.value), `file ${question.value}`);
      case "fileContainingSymbol":
        return fileAnswer(this.symbols.get(question.value), `symbol ${question.value}`);
      case "fileContainingExtension": {
        const { containingType, extensionNumber } = question.value;
        const found = this.extensionsOf(containingType).find((extension) => extension.number === extensionNumber);
        return fileAnswer(found?.file, `extension ${extensionNumber} of ${containingType}`);
      }
      case "allExtensionNumbersOfType": {
        if (!this.symbols.has(question.value)) return notFound(`type ${question.value}`);
        const extensionNumber = this.extensionsOf(question.value).map((extension) => extension.number);
        return { case: "allExtensionNumbersResponse", value: { baseTypeName: question.value, extensionNumber } };
      }
      case undefined:
        break;
    }
    return { case: "errorResponse", value: { errorCode: Code.InvalidArgument, errorMessage: "no question is set" } };
  }

  private extensionsOf(typeName: string): readonly DescExtension[] {
    return this.extensions.filter((extension) => extension.extendee.typeName === typeName);
  }

  private addFile(file: DescFile): void {
    if (this.files.has(file.proto.name)) return;
    this.files.set(file.proto.name, file);
    for (const type of nestedTypes(file)) {
      this.symbols.set(type.typeName, file);
      if (type.kind === "extension") this.extensions.push(type);
      if (type.kind === "service") {
        for (const method of type.methods) this.symbols.set(`${type.typeName}.${method.name}`, file);
      }
    }
    file.dependencies.forEach((dependency) => this.addFile(dependency));
  }
}

/** The file and all that it imports, directly or not. */
function fileAnswer(file: DescFile | undefined, what: string): Answer {
  if (!file) return notFound(what);
  const closure = new Set([file]);
  // A set may grow while it is walked.
  for (const each of closure) each.dependencies.forEach((dependency) => closure.add(dependency));
  const fileDescriptorProto = [...closure].map((each) => toBinary(FileDescriptorProtoSchema, each.proto));
  return { case: "fileDescriptorResponse", value: { fileDescriptorProto } };
}

function notFound(what: string): Answer {
  return { case: "errorResponse", value: { errorCode: Code.NotFound, errorMessage: `${what} not found` } };
}
