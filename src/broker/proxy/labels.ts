import type { Endpoint } from "../../modules/module.ts";
import type { LabelReader, UsualModel } from "./label.ts";
import { FormLabel } from "./label-form.ts";
import { JsonLabel } from "./label-json.ts";

/**
 * The reader for an endpoint; `usual` is the model where none is named. Throws when the request's content type is not what
 * the endpoint takes.
 */
export function labelReader(request: Request, endpoint: Endpoint, usual: UsualModel): LabelReader {
  switch (endpoint.label) {
    case "json-model":
      return new JsonLabel(request, endpoint.keeps?.fields, usual);
    case "form-model":
      return new FormLabel(request, usual);
    case "none":
      return NO_LABEL;
  }
}

const NO_LABEL: LabelReader = {
  readOn: false,
  decode: false,
  scan: () => true,
  read: () => ({ model: undefined, stream: false }),
};
