/** The classic script that App Engine pages load from `/_ah/channel/jsapi`. */

import { install } from "./appengine.js";
import { browserPlatform } from "./platform.js";
import { scriptOrigin } from "./urls.js";

// `document.currentScript` is set only while the script runs for the first time.
const script = document.currentScript as HTMLScriptElement | null;
install(window as { goog?: unknown }, scriptOrigin(script?.src), browserPlatform());
