"use strict";
// Shows the rows that hold every word typed, and the sections that have any; the text of a row is read once.
(function () {
  var box = document.getElementById("filter");
  var said = document.getElementById("said");
  var tables = Array.prototype.map.call(document.querySelectorAll("table[data-filter]"), function (table) {
    var rows = Array.prototype.map.call(table.tBodies[0].rows, function (row) {
      return { row: row, text: "" };
    });
    return { rows: rows, count: document.getElementById(table.dataset.filter), section: table.closest("section") };
  });
  // What has no rows is in the way of the answer.
  var empty = Array.prototype.filter.call(document.querySelectorAll("section, #chart"), function (section) {
    return !section.querySelector("table[data-filter]");
  });
  function apply() {
    var words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
    var total = 0;
    tables.forEach(function (table) {
      var shown = 0;
      table.rows.forEach(function (item) {
        if (words.length && !item.text) { item.text = item.row.textContent.toLowerCase(); }
        var fits = words.every(function (word) { return item.text.indexOf(word) >= 0; });
        if (item.row.classList.contains("off") === fits) { item.row.classList.toggle("off", !fits); }
        shown += fits ? 1 : 0;
      });
      total += shown;
      table.section.classList.toggle("hidden", words.length > 0 && shown === 0);
      table.count.textContent = words.length ? shown + " of " + table.rows.length : String(table.rows.length);
    });
    empty.forEach(function (section) { section.classList.toggle("hidden", words.length > 0); });
    said.textContent = !words.length ? "" : total ? total + " rows match" : "No row holds every one of these words.";
  }
  var due = 0;
  box.addEventListener("input", function () { clearTimeout(due); due = setTimeout(apply, 120); });
  document.getElementById("clear").addEventListener("click", function () { box.value = ""; apply(); box.focus(); });
})();
