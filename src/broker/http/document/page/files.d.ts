// Files that are embedded, as paths; TypeScript would read them as code.
declare module "*/start.js" {
  const path: string;
  export default path;
}
declare module "*/page.css" {
  const path: string;
  export default path;
}
declare module "swagger-ui-dist/swagger-ui.css" {
  const path: string;
  export default path;
}
declare module "swagger-ui-dist/swagger-ui-bundle.js" {
  const path: string;
  export default path;
}
