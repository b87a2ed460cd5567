/** The handlers of AppImageService. */

import type { MessageInitShape } from "@bufbuild/protobuf";
import type {
  BatchQueryAppImageRequest,
  CreateAppImageRequest,
  CreateAppImageResponseSchema,
  DeleteAppImageResponseSchema,
  ListAppImageRequest,
  ListAppImageResponseSchema,
  QueryAppImageResponseDataSchema,
  UpdateAppImageRequest,
  UpdateAppImageResponseSchema,
} from "../../../gen/kuscia/proto/api/v1alpha1/kusciaapi/appimage_pb.js";
import { invalid } from "../../core/error.js";
import type { AppImage } from "../../core/image.js";
import type { Actor } from "../../core/job.js";
import type { Images } from "../../images.js";
import { checkChangedImage, checkMounts, checkNewImage } from "./app-image-rules.js";
import { imageDataFromImage, imageFromRequest, imageInfoFromWire, templateFromWire } from "./app-image-translate.js";
import { checkNames } from "./names.js";

const MAX_PAGE = 1000n;

type ImageData = MessageInitShape<typeof QueryAppImageResponseDataSchema>;
type Named = { readonly name: string };

export async function createAppImage(
  images: Images,
  request: CreateAppImageRequest,
  actor: Actor,
): Promise<MessageInitShape<typeof CreateAppImageResponseSchema>> {
  checkNewImage(request);
  await images.create(imageFromRequest(request, ""), actor);
  return {};
}

/** Replaces the image always and the templates only where they are sent, as Kuscia does. */
export async function updateAppImage(
  images: Images,
  request: UpdateAppImageRequest,
  actor: Actor,
): Promise<MessageInitShape<typeof UpdateAppImageResponseSchema>> {
  checkChangedImage(request);
  const { name, configTemplates } = request;
  const change: Partial<Pick<AppImage, "configTemplates" | "deployTemplates">> = {
    ...(Object.keys(configTemplates).length > 0 && { configTemplates }),
    ...(request.deployTemplates.length > 0 && { deployTemplates: request.deployTemplates.map(templateFromWire) }),
  };
  const merged = { ...(await images.query(name, actor)), ...change };
  checkMounts(merged.deployTemplates, merged.configTemplates);
  await images.update({ name, image: imageInfoFromWire(request.image), ...change }, actor);
  return {};
}

export async function deleteAppImage(
  images: Images,
  request: Named,
  actor: Actor,
): Promise<MessageInitShape<typeof DeleteAppImageResponseSchema>> {
  await images.remove(nameOf(request), actor);
  return {};
}

export async function queryAppImage(images: Images, request: Named, actor: Actor): Promise<{ data: ImageData }> {
  return { data: imageDataFromImage(await images.query(nameOf(request), actor)) };
}

export async function batchQueryAppImage(
  images: Images,
  request: BatchQueryAppImageRequest,
  actor: Actor,
): Promise<{ data: ImageData[] }> {
  checkNames("names", request.names);
  return { data: (await images.queryMany(request.names, actor)).map(imageDataFromImage) };
}

export async function listAppImage(
  images: Images,
  request: ListAppImageRequest,
  actor: Actor,
): Promise<MessageInitShape<typeof ListAppImageResponseSchema>> {
  const { pageSize, pageToken } = request;
  if (pageSize < 0n) throw invalid("page_size", `must not be negative, got ${pageSize}`);
  const page = await images.list(Number(pageSize > MAX_PAGE ? MAX_PAGE : pageSize), pageToken, actor);
  return { data: { appimageList: page.images.map(imageDataFromImage), nextPageToken: page.nextPageToken } };
}

function nameOf({ name }: Named): string {
  if (name === "") throw invalid("name", "must not be empty");
  return name;
}
