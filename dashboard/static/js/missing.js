// An address that leads to no page: the server has said so, and the frame is all that is left to do.

import "./frame.js";
