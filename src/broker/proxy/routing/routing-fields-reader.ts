import type { Endpoint } from "../../../modules/module.ts";
import { FormRoutingFields } from "./form-routing-fields.ts";
import { JsonRoutingFields } from "./json-routing-fields.ts";
import type { RoutingFieldsReader, UsualModel } from "./routing-fields.ts";

/**
 * The reader for an endpoint; `usual` is the model where none is named. Throws when the request's content type is not what
 * the endpoint takes.
 */
export function routingFieldsReader(request: Request, endpoint: Endpoint, usual: UsualModel): RoutingFieldsReader {
  switch (endpoint.label) {
    case "json-model":
      return new JsonRoutingFields(request, endpoint.keeps?.fields, usual);
    case "form-model":
      return new FormRoutingFields(request, usual);
    case "none":
      return NO_ROUTING_FIELDS;
  }
}

const NO_ROUTING_FIELDS: RoutingFieldsReader = {
  readOn: false,
  decode: false,
  scan: () => true,
  read: () => ({ model: undefined, stream: false }),
};
