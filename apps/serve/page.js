'use strict';
// The upload page of headct serve: files in, the server's answer out. Nothing is stored, nothing is asked of another server.
(function () {
  var token = '', files = [], tasks = [], thresholds = {};

  function at(id) { return document.getElementById(id); }
  function make(name, text, attributes) {
    var e = document.createElement(name);
    if (text) e.textContent = text;
    for (var key in attributes || {}) e.setAttribute(key, attributes[key]);
    return e;
  }
  function say(text) { at('status').textContent = text; }

  function ask(path, body) {
    var options = { method: body ? 'POST' : 'GET', cache: 'no-store', credentials: 'omit', redirect: 'error', headers: {} };
    if (token) options.headers.Authorization = 'Bearer ' + token;
    if (body) options.body = body;
    return fetch(path, options).then(function (r) {
      return r.json().then(function (answer) {
        if (r.status === 401) wantToken();
        if (r.ok || r.status === 422) return answer;
        var wait = r.status === 429 ? ' Try again in ' + r.headers.get('Retry-After') + ' seconds.' : '';
        throw new Error(answer.error + '.' + wait);
      });
    });
  }

  function wantToken() {
    token = '';
    at('token-row').hidden = false;
    at('token').focus();
  }

  function table(caption, head, rows) {
    var box = make('div', '', { 'class': 'table', role: 'region', tabindex: '0', 'aria-label': caption });
    var t = make('table'), top = make('tr'), thead = make('thead'), body = make('tbody');
    t.appendChild(make('caption', caption));
    head.forEach(function (h) { top.appendChild(make('th', h, { scope: 'col' })); });
    if (head.length) thead.appendChild(top), t.appendChild(thead);
    rows.forEach(function (cells) {
      var row = make('tr');
      cells.forEach(function (c, i) {
        var cell = make(i ? 'td' : 'th', typeof c === 'string' ? c : '', i ? {} : { scope: 'row' });
        if (typeof c !== 'string') cell.appendChild(c);
        row.appendChild(cell);
      });
      body.appendChild(row);
    });
    t.appendChild(body);
    box.appendChild(t);
    return box;
  }

  function loadModel() {
    return ask('/v1/models').then(function (answer) {
      var m = answer.models[0], rows = [['name', m.name], ['kind', m.kind], ['tasks', m.tasks.join(', ') || 'none: this model makes embeddings, ask /v1/embed'],
        ['weights, SHA-256', m.weights_sha256]];
      tasks = m.tasks;
      thresholds = m.thresholds || {};
      at('model').replaceChildren(table('What this server holds', [], rows));
      at('go').disabled = !tasks.length;
    }).catch(function (e) { at('model').replaceChildren(make('p', e.message)); });
  }

  // ---- files ----

  function told() {
    var bytes = files.reduce(function (sum, f) { return sum + f.size; }, 0);
    say(files.length ? files.length + (files.length === 1 ? ' file, ' : ' files, ') + (bytes / 1048576).toFixed(1) + ' MB' : 'No files chosen.');
  }
  function chosen() {
    files = Array.from(at('files').files).concat(Array.from(at('folder').files));
    told();
  }

  // files of a dropped folder: read in parts until none is left
  function filesOf(entry) {
    if (entry.isFile) return new Promise(function (done, failed) { entry.file(function (f) { done([f]); }, failed); });
    var reader = entry.createReader(), all = [];
    return new Promise(function (done, failed) {
      (function more() {
        reader.readEntries(function (some) {
          if (some.length) return all = all.concat(some), more();
          Promise.all(all.map(filesOf)).then(function (lists) { done([].concat.apply([], lists)); }, failed);
        }, failed);
      })();
    });
  }
  function dropped(event) {
    event.preventDefault();
    at('drop').classList.remove('over');
    var entries = Array.from(event.dataTransfer.items).map(function (i) { return i.webkitGetAsEntry && i.webkitGetAsEntry(); });
    var plain = Array.from(event.dataTransfer.files);
    Promise.all(entries.map(function (e, i) { return e ? filesOf(e) : plain[i] ? [plain[i]] : []; })).then(function (lists) {
      files = [].concat.apply([], lists);
      told();
    }, function () { say('The files cannot be read.'); });
  }

  // ---- answers ----

  function form() {
    var f = new FormData();
    files.forEach(function (file) { f.append('scan', file, file.name); });
    return f;
  }

  function showView(box, html) {
    box.innerHTML = html; // of this server's own making, its names escaped; the policy lets no script in
    window.showViewers();
  }

  function mapButton(task, scan, box, sent) {
    var button = make('button', 'Show the map', { type: 'button', 'aria-label': 'Show what the answer for ' + task + ' of ' + scan + ' rests on' });
    button.addEventListener('click', function () {
      if (sent !== files) return say('Other files were chosen since: predict again for a map.');
      button.disabled = true;
      say('Making the map of ' + task + '.');
      ask('/v1/predict?view=slices&map=' + encodeURIComponent(task), form()).then(function (answer) {
        var one = answer.results.find(function (r) { return r.scan === scan; });
        if (!one || !one.view) throw new Error('the scan is not in the answer.');
        showView(box, one.view);
        say(one.map_refused ? 'No map of ' + task + ': ' + one.map_refused : 'The map of ' + task + ' lies over the slices of ' + scan + '.');
      }).catch(function (e) { say(e.message); }).finally(function () { button.disabled = false; });
    });
    return button;
  }

  function show(answer, sent) {
    var out = at('answers');
    out.replaceChildren();
    answer.results.forEach(function (r) {
      var box = make('div'), marks = Object.keys(thresholds).length > 0;
      out.appendChild(make('h3', r.scan));
      out.appendChild(table('Probabilities of ' + r.scan, marks ? ['finding', 'probability', 'threshold', 'reached', 'map'] : ['finding', 'probability', 'map'],
        Object.keys(r.probabilities).map(function (task) {
          var p = r.probabilities[task], cells = [task, p.toFixed(3)], limit = thresholds[task];
          if (marks) cells.push(limit === undefined ? '-' : limit.toFixed(3), limit === undefined ? '-' : p >= limit ? 'yes' : 'no');
          return cells.concat([mapButton(task, r.scan, box, sent)]);
        })));
      out.appendChild(box);
      if (r.view) showView(box, r.view);
    });
    if (answer.refused.length)
      out.appendChild(table('Not read', ['scan', 'reason'], answer.refused.map(function (r) { return [r.scan || '-', r.reason]; })));
    at('results').hidden = false;
    at('results').focus();
    say(answer.results.length + (answer.results.length === 1 ? ' scan' : ' scans') + ' predicted, ' + answer.refused.length + ' not read.');
  }

  at('ask').addEventListener('submit', function (event) {
    event.preventDefault();
    if (at('token').value) token = at('token').value, at('token').value = '', at('token-row').hidden = true;
    if (!files.length) return token && !tasks.length ? void loadModel() : say('Choose files first.');
    var sent = files;
    at('go').disabled = true;
    say('Sending and predicting.');
    (tasks.length ? Promise.resolve() : loadModel()).then(function () { return ask('/v1/predict?view=slices', form()); })
      .then(function (answer) { show(answer, sent); })
      .catch(function (e) { say(e.message); }).finally(function () { at('go').disabled = false; });
  });
  at('clear').addEventListener('click', function () {
    files = [];
    at('ask').reset();
    at('answers').replaceChildren();
    at('results').hidden = true;
    told();
  });
  at('files').addEventListener('change', chosen);
  at('folder').addEventListener('change', chosen);
  at('drop').addEventListener('dragover', function (event) { event.preventDefault(); at('drop').classList.add('over'); });
  at('drop').addEventListener('dragleave', function () { at('drop').classList.remove('over'); });
  at('drop').addEventListener('drop', dropped);
  loadModel();
})();
