/** The REST API in Swagger UI, from the description that the gateway gives of itself. */

import "swagger-ui-dist/swagger-ui.css";
import "./docs.css";
import SwaggerUI from "swagger-ui-dist/swagger-ui-es-bundle.js";
import { byId } from "./dom.ts";

SwaggerUI({
  url: "/openapi.json",
  domNode: byId("docs"),
  deepLinking: true,
  defaultModelsExpandDepth: 0,
  displayRequestDuration: true,
  // Nobody else is asked whether the description is right.
  validatorUrl: null,
  onComplete: () => {
    document.documentElement.dataset.ready = "true";
  },
});
