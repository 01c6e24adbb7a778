// A plugin without workers that makes a view of what it was told, with HTML that has no business in a page.
import { defineModule, html, options } from "nfrx/plugin";

export default defineModule({
  id: "shown",
  summary: "Shows what it was told last.",
  options: options("Module shown", {}),
  serve: () => {
    let told = "nothing";
    return {
      routes: [
        {
          method: "POST",
          path: "/api/shown/tell",
          tag: "shown",
          auth: "api",
          errors: "plain",
          operation: { summary: "Tell", responses: { 200: { description: "It was told." } } },
          answer: async ({ request }) => {
            told = await request.text();
            return new Response("told");
          },
        },
      ],
      view: () => html`<script>window.ran=1</script><style>main { display: none }</style>
        <p onclick="window.ran=1" style="display:none">Told: <img src=x onerror="window.ran=1"><b class="badge">${told}</b></p>
        <a href="http://192.0.2.1/">elsewhere</a><iframe srcdoc="<script>parent.ran=1</script>"></iframe>`,
    };
  },
});
