// Draws the interactive documentation from the service's own OpenAPI document.
window.SwaggerUIBundle({ url: "/openapi.json", dom_id: "#docs", deepLinking: true, validatorUrl: null });
