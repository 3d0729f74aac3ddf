// Returns what has no business on a page of the desk: elements, attributes and links that no template has.
(root) => {
  const ATTRIBUTES = /^(class|id|href|title|name|value|type|method|action|form|for|role|scope|lang|content|rel|src|defer|hidden|tabindex|min|max|open|size|selected|checked|autofocus|placeholder|maxlength|charset|datetime|data-[a-z-]+|aria-[a-z]+|x|y|d|rx|cx|cy|r|dx|width|height|viewBox|fill|fill-rule|stroke|stroke-width|transform|marker-end|refX|refY|markerWidth|markerHeight|orient|patternUnits|patternTransform|preserveAspectRatio|text-anchor|hx-get|hx-trigger|hx-swap|colspan|autocomplete|required|download)$/;
  const FOREIGN = "iframe, img, style, base, object, embed, math, foreignObject, textarea, xss, "
    + "script:not([src^='/static/']), link:not([href^='/static/'], [rel=icon])";
  const isWithin = (address) => /^(\/[^/]|\/$|#)/.test(address);
  const wrong = [];
  for (const each of root.querySelectorAll("*")) {
    const names = each.getAttributeNames(), bad = names.filter((name) => !ATTRIBUTES.test(name)
      || (name.startsWith("hx-") && !["live", "history"].includes(each.id))
      || (/^(href|src|action|formaction)$/.test(name) && each.rel !== "icon" && !isWithin(each.getAttribute(name))));
    if (bad.length || each.matches(FOREIGN)) wrong.push(`${bad} ${each.outerHTML.slice(0, 200)}`);
  }
  if (/[\u202e\u2028\u0085\x1b\x07]/.test(root.documentElement.textContent)) wrong.push("a character that is not text");
  return wrong;
}
