import "htmx.org"; // 4.x, sets window.htmx
import "basecoat-css/basecoat"; // runtime and theme API
import "basecoat-css/sidebar";
import "basecoat-css/toast";
import "./glue.js";
import "./keys.js";
import "./feed.js";
