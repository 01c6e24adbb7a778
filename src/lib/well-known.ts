/** Path of the protected resource metadata for an address without a path; see RFC 9728, section 3. */
export const RESOURCE_METADATA_PATH = "/.well-known/oauth-protected-resource";

/** The address of a protected resource's metadata: the well-known path goes between the host and the rest. */
export function resourceMetadataUrl(resource: string): string {
  const { origin, pathname, search } = new URL(resource);
  return origin + RESOURCE_METADATA_PATH + (pathname === "/" ? "" : pathname) + search;
}
