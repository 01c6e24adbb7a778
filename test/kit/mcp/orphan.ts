// A program that holds a stdio server, says its pid, and waits to be killed.
import { answerOf, openSession, post, rpc } from "./http.ts";
import { reach } from "./provider.ts";

const server = reach("raw");
const session = await openSession(server);
console.log(JSON.stringify(await answerOf(await post(server, rpc(1, "self"), session))));
setInterval(() => {}, 1000);
