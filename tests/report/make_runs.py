#!/usr/bin/env python3
"""make_runs.py FOLDER: run folders as trainings leave them, of made-up scores, with every part that reports lay out: encoders pre-trained on 10, 30 and
100% of the data by two methods, and what was trained on them. Scores are normal, positives shifted by a run's strength."""
import math
import pathlib
import random
import sys

TASKS = ['IPH', 'IVH', 'SDH']
SCANS = 160


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def predictions(strength, seed, scans=SCANS):
    labels = random.Random(7)
    noise = random.Random(seed)
    rows = ['scan,patient,split,' + ','.join(TASKS) + ',' + ','.join('y_' + t for t in TASKS)]
    for i in range(scans):
        y = [labels.random() < 0.35 for _ in TASKS]
        shared = [labels.gauss(0, 1) for _ in TASKS]  # what all models see alike
        p = [1 / (1 + math.exp(-(strength * v + 0.8 * s + 0.6 * noise.gauss(0, 1) - 1))) for v, s in zip(y, shared)]
        rows.append(f's{i:03},p{i:03},{"val" if i % 8 == 0 else "test"},' + ','.join(f'{v:.6f}' for v in p) + ',' +
                    ','.join(str(int(v)) for v in y))
    return '\n'.join(rows) + '\n'


def curve(phases):
    return ''.join(f'{{"step":{s},"phase":"{p}","epoch":{s},"loss":{0.7 / s:.4f},"validation_auc":{1 - 0.4 / s:.4f}}}\n'
                   for p in phases for s in range(1, 9))


def main(out):
    data = {'langone': out / 'data/langone', 'island': out / 'data/island'}
    encoders = {}
    for method in ('dino', 'mae'):
        for share in (0.1, 0.3, 1):
            run = out / f'{method}-{share:g}'
            encoders[method, share] = run / 'weights.safetensors'
            write(run / 'recipe.yaml', f'method: {method}\ndata:\n  dataset: {data["langone"]}\n  fraction: {share:g}\n')
            write(run / 'metrics.jsonl', ''.join(f'{{"step":{s},"phase":"train","epoch":1,"loss":{1 / s:.4f}}}\n' for s in range(1, 9)))
    tune = 'finetune:\n  init: {init}\n  weights: {weights}\n'
    probe = 'probe:\n  kind: {kind}\n  features: {features}\n  {file}: {weights}\n'
    runs = {}
    for d in data:
        runs[f'scratch-{d}'] = (d, 'finetune', tune.format(init='random', weights=''), 0.5, 0)
        for method, strength in (('dino', 1.5), ('mae', 1.2)):
            for share in (0.1, 0.3, 1) if d == 'langone' else (1,):
                for seed in (0, 1) if d == 'langone' and share == 1 and method == 'dino' else (0,):
                    runs[f'finetune-{d}-{method}-{share:g}-{seed}'] = (
                        d, 'finetune', tune.format(init='weights', weights=encoders[method, share]),
                        strength * (0.6 + 0.4 * share), seed)
            for kind, strong in (('linear', 0.9), ('attentive', 1.1)) if d == 'langone' else (('linear', 0.9),):
                runs[f'{kind}-{d}-{method}'] = (
                    d, 'probe', probe.format(kind=kind, features='encoder', file='weights', weights=encoders[method, 1]), strong * strength / 1.5, 0)
        runs[f'google-{d}'] = (d, 'probe', probe.format(kind='linear', features='embeddings', file='embeddings', weights='ct.npz'), 0.8, 0)
    for n, (name, (d, method, part, strength, seed)) in enumerate(sorted(runs.items())):
        run = out / name
        write(run / 'recipe.yaml', f'method: {method}\nseed: {seed}\ndata:\n  dataset: {data[d]}\n' + part)
        write(run / 'metrics.jsonl', curve(TASKS))
        write(run / 'predictions.csv', predictions(strength, n))
    write(out / 'island-by-langone' / 'predictions.csv', predictions(1.1, 99).replace(',test,', ',test,'))
    few = ['task,method,k,draws,positives,negatives,auc,auc_low,auc_high,ap,ap_low,ap_high']
    for task in TASKS:
        for k in (8, 16, 32, 64):
            few.append(f'{task},finetune,{k},5,{k},{k},{0.5 + 0.05 * math.log2(k):.3f},{0.45 + 0.05 * math.log2(k):.3f},{0.55 + 0.05 * math.log2(k):.3f},0.5,0.4,0.6')
        few.append(f'{task},finetune,all,1,100,300,0.9,,,0.8,,')
    write(out / 'fewshot-langone' / 'recipe.yaml', f'method: finetune\ndata:\n  dataset: {data["langone"]}\n' + tune.format(init='weights', weights=encoders['dino', 1]))
    write(out / 'fewshot-langone' / 'fewshot.csv', '\n'.join(few) + '\n')
    grid = ['point,lr,weight_decay,epochs,optimizer,validation_auc,' + ','.join(TASKS)]
    for i, (lr, wd) in enumerate((a, b) for a in ('1e-3', '1e-4', '1e-5') for b in ('0.01', '0.05')):
        grid.append(f'{i},{lr},{wd},10,adamw,{0.6 + 0.03 * i},0.7,0.6,0.65')
    write(out / 'sweep' / 'sweep.csv', '\n'.join(grid) + '\n')
    groups = ['scan,thickness,manufacturer']
    groups += [f's{i:03},{0.5 + (i % 9) * 0.5},{"Siemens" if i % 3 else "Toshiba"}' for i in range(SCANS)]
    write(out / 'groups.csv', '\n'.join(groups) + '\n')


main(pathlib.Path(sys.argv[1]).absolute())
