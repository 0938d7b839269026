/** The classic script that App Engine pages load from `/_ah/channel/jsapi`. */

import { scriptOrigin } from "./address.js";
import { install } from "./appengine.js";
import { browserPlatform } from "./platform.js";

// Only while the script runs for the first time does the document say which script it is.
const script = document.currentScript as HTMLScriptElement | null;
install(window as { goog?: unknown }, scriptOrigin(script?.src), browserPlatform());
