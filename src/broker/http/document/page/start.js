// Starts Swagger UI, in the colours that the reader's system has. Everything it asks for comes from this broker.
const dark = matchMedia("(prefers-color-scheme: dark)");
const follow = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", follow);
follow();

SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  filter: true,
  // With every part open the page takes many seconds: it works out each operation before it shows the next.
  docExpansion: "none",
  displayRequestDuration: true,
  defaultModelsExpandDepth: 0,
  // Otherwise it would send the document to a validation server.
  validatorUrl: null,
});
