// The API's page: Swagger UI, in the pages' theme; what it sends carries the session's CSRF token.
const root = document.documentElement, place = document.getElementById("swagger-ui");
const { schema, token } = place.dataset;

SwaggerUIBundle({
  url: schema,
  domNode: place,
  presets: [SwaggerUIBundle.presets.apis],
  layout: "BaseLayout",
  docExpansion: "none",
  deepLinking: true,
  filter: true,
  requestInterceptor: (request) => {
    if (!["GET", undefined].includes(request.method) && new URL(request.url, location.href).origin === location.origin) request.headers["X-CSRFToken"] = token;
    return request;
  },
});

const follow = () => root.classList.toggle("dark-mode", root.classList.contains("dark"));
new MutationObserver(follow).observe(root, { attributeFilter: ["class"] });
follow();
