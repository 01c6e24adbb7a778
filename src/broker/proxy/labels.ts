import type { Endpoint } from "../../modules/module.ts";
import type { LabelReader } from "./label.ts";
import { FormLabel } from "./label-form.ts";
import { JsonLabel } from "./label-json.ts";

/** The reader for an endpoint. Throws when the request's content type is not what the endpoint takes. */
export function labelReader(request: Request, endpoint: Endpoint): LabelReader {
  switch (endpoint.label) {
    case "json-model":
      return new JsonLabel(request, endpoint.keeps?.fields);
    case "form-model":
      return new FormLabel(request);
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
