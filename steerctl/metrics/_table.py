"""The table of metrics as it is written by hand; `catalogue` reads it."""

from __future__ import annotations

TABLE = """
== The policy
policy/entropy/mean | nats | verl actor/entropy; TRL entropy
    H = −Σ_b π_b log π_b over the full vocabulary, policy at the start of the step; mean over trained tokens
policy/entropy_after/mean | nats
    the same at the same states, after the step's last update
policy/surprisal/mean | nats
    −log π(sampled token), policy at the start of the step; its mean is an estimate of the entropy, not the entropy
policy/ratio/mean | 1
    r = π(token)/π_old(token); mean over trained tokens of all updates
policy/ratio/max | 1
    largest r
policy/ratio/min | 1
    smallest r
policy/kl/mean | nats | verl actor/ppo_kl (which is k1)
    k3 estimate of KL(π_old ‖ π): r − 1 − log r; mean over trained tokens of all updates
reference/kl/mean | nats | verl actor/kl_loss; TRL kl
    k3 estimate of KL(π ‖ π_ref): ρ − 1 − log ρ, ρ = π_ref/π; only with a reference policy
== What clip and interventions did
clip/high/fraction | fraction | verl actor/pg_clipfrac (both sides); TRL clip_ratio/high_mean
    tokens with A > 0 that the loss leaves no gradient, so an increase is cut off; ppo_clip: r > 1 + clip_high
clip/low/fraction | fraction | TRL clip_ratio/low_mean
    tokens with A < 0 that the loss leaves no gradient, so a decrease is cut off; ppo_clip: r < 1 − clip_low, those
    beyond a dual clip are not counted
weight/mean | 1
    the weight dial as the interventions left it, 1 where none turned it; tokens that rollout.correction leaves out are
    not counted in any key of this kind
weight/min | 1
    smallest weight
weight/max | 1
    largest weight
weight/fraction_below_0.9 | fraction
    tokens with a weight below 0.9
advantage/abs/mean | 1
    |A| as the interventions left it
advantage/zero/fraction | fraction
    tokens with A = 0: they count in the denominator and teach nothing
advantage/turned/fraction | fraction
    tokens whose advantage an intervention changed
penalty/mean | 1
    the penalty dial; 0 where no intervention turned it
== Entropy change
entropy_change/<estimator>/mean | nats per unit step
    first-order ΔH/η of the token's own state with coefficient w = weight·∂surrogate/∂log π, in this form, weight with
    the correction in it; mean over trained tokens of all updates. With ppo_clip w = weight·I_clip·r·A, I_clip 0 where a
    clip fraction counts the token and beyond a dual clip, else 1; with the other losses what they have in its place
entropy_change/<estimator>/quadrant_1 | nats per unit step
    what tokens with A > 0 and log π ≥ −H (likely) add to that mean (sum over them / all trained tokens)
entropy_change/<estimator>/quadrant_2 | nats per unit step
    what tokens with A > 0 and log π < −H (rare) add to that mean (sum over them / all trained tokens)
entropy_change/<estimator>/quadrant_3 | nats per unit step
    what tokens with A < 0 and log π < −H (rare) add to that mean (sum over them / all trained tokens)
entropy_change/<estimator>/quadrant_4 | nats per unit step
    what tokens with A < 0 and log π ≥ −H (likely) add to that mean (sum over them / all trained tokens)
entropy_change/measured/mean | nats
    H after the step − H before it, at the same states; mean over trained tokens
entropy_change/measured/abs_mean | nats
    mean of its absolute value
entropy_change/<estimator>/pearson | 1
    correlation over trained tokens of the predicted change (at the start of the step, r = 1) with the measured
    change
== Probe
probe/positions/count | tokens
    tokens that analysis.probe looked at in the step's updates; all keys of this kind only in steps with such an update
probe/measured/abs_mean | nats
    |H after one optimiser step − H before it| at the same state; mean over those tokens
probe/<predicted>/pearson | 1
    correlation over those tokens of the predicted change with the measured one, first_order being the derivative of H
    along the whole change of the weights; left out where one of the two does not vary
probe/<predicted>/sign_agreement | fraction
    tokens whose predicted and measured change have the same sign; where only one of the two is 0 a token counts half
== Rewards, groups, responses
reward/mean | 1 | verl critic/rewards/mean; TRL reward
    reward of a response, shaping included; mean over responses
reward/std | 1 | TRL reward_std (per group)
    standard deviation over all responses of the step (divisor n)
reward/max | 1
    largest reward
reward/min | 1
    smallest reward
accuracy/mean | fraction | verl critic/score/mean
    verdict value (1 right, 0 wrong); mean over responses
accuracy/any | fraction
    groups with at least one response whose verdict is 1 (pass@group_size)
groups/no_signal/fraction | fraction | TRL frac_reward_zero_std
    groups whose rewards are all equal: every advantage is 0, with estimators that compare within the group
groups/all_right/fraction | fraction
    groups whose verdicts are all 1
groups/all_wrong/fraction | fraction
    groups whose verdicts are all 0
groups/replaced/count | groups
    groups thrown away and sampled afresh by dynamic sampling
response/length/mean | tokens | verl response_length/mean; TRL completions/mean_length
    response tokens, end token included; mean over responses
response/length/max | tokens
    longest response
response/length/min | tokens
    shortest response
response/truncated/fraction | fraction | verl response_length/clip_ratio; TRL completions/clipped_ratio
    responses cut at max_tokens
prompt/length/mean | tokens | verl prompt_length/mean
    prompt tokens; mean over groups
verifier/timeout/count | responses
    verifier was stopped for taking too long
verifier/oom/count | responses
    a program ran out of its memory in the sandbox
verifier/crash/count | responses
    a program was ended by a signal in the sandbox
verifier/infra_error/count | responses
    the sandbox itself failed twice: not the response's fault, and worth looking into
verifier/error/count | responses
    verifier failed on the response
verifier/no_answer/count | responses
    no answer could be read from the response
verifier/too_long/count | responses
    answer or response too long to be judged
== Sampler against trainer
mismatch/logprob_abs/mean | nats | verl training/rollout_probs_diff_mean; TRL sampling_logp_difference
    |log π_trainer − log π_sampler| of the sampled token, the trainer's at the start of the step: the engines' rounding
    and, with rollout.ahead, the staleness of the sampler's weights
mismatch/logprob_abs/max | nats
    largest of them
mismatch/kl/mean | nats | verl rollout_corr/k3_kl
    k3 estimate of KL(π_sampler ‖ π_trainer): ρ − 1 − log ρ, ρ = π_trainer/π_sampler
mismatch/kl/k1 | nats | verl rollout_corr/kl
    k1 estimate of the same: −log ρ; mean over trained tokens, may be negative
mismatch/ratio/max | 1
    largest ρ of a token
mismatch/ratio/min | 1
    smallest ρ of a token
mismatch/effective/fraction | fraction | verl rollout_corr/rollout_is_eff_sample_size
    effective sample size of the tokens' ratios over their number: (Σρ)² / (N Σρ²)
mismatch/staleness/mean | pushes
    pushes of weights between a response's sampling and the step that trains on it; mean over responses
mismatch/staleness/max | pushes
    largest of them
mismatch/parity/max | nats
    largest |log π_trainer − log π_server| of the tokens sampled right after the push of the weights; vLLM only
correction/weight/mean | 1 | verl rollout_corr/rollout_is_mean
    what rollout.correction multiplies a token's surrogate by; all keys of this kind only with a correction
correction/weight/max | 1
    largest of them
correction/weight/min | 1
    smallest of them
correction/ratio/max | 1
    largest ρ at the correction's level, before its bounds
correction/ratio/min | 1
    smallest ρ at the correction's level, before its bounds
correction/truncated/fraction | fraction
    trained tokens whose ρ was beyond a bound and was set to it
correction/masked/fraction | fraction | verl rollout_corr/rollout_rs_masked_fraction
    trained tokens whose ρ was beyond a bound and that were left out
correction/effective/fraction | fraction
    effective sample size of the correction's weights c over their number: (Σc)² / (N Σc²)
== Batch and optimiser
batch/padding/fraction | fraction
    positions of the micro-batches that hold no token of any sequence
batch/tokens/count | tokens
    trained tokens of the step
batch/micro_batches/count | 1
    micro-batches of the step, over all ranks
optim/grad_norm/mean | 1 | verl actor/grad_norm; TRL grad_norm
    gradient norm before clipping; mean over the step's updates
optim/grad_norm/max | 1
    largest of them
optim/lr/value | 1 | verl actor/lr; TRL learning_rate
    largest learning rate of the step's updates

== Validation
validation/accuracy/mean | fraction | verl val-core/…/acc/mean@N; TRL eval_reward
    verdict value; mean over responses to the validation problems
validation/accuracy/any | fraction | verl best@N
    validation problems with at least one right response
validation/length/mean | tokens
    response tokens; mean over responses
validation/truncated/fraction | fraction
    responses cut at max_tokens
validation/responses/count | responses
    responses judged
== Benchmarks
eval/<benchmark>/accuracy/mean | fraction | verl val-core/…/acc/mean@N
    mean verdict over questions and samples (avg@k); all keys of this section only after steps that evaluation.every
    names, and the last
eval/<benchmark>/accuracy/error | fraction
    its standard error over questions like these
eval/<benchmark>/pass/mean | fraction
    pass@k at k = all samples: questions with at least one right response; docs/evaluation.md
eval/<benchmark>/majority/mean | fraction | verl maj@N (by spelling)
    maj@k at k = all samples: the most frequent answer is right; ties share
eval/<benchmark>/no_answer/fraction | fraction
    responses from which no answer could be read
eval/<benchmark>/truncated/fraction | fraction
    responses cut at the longest length
eval/<benchmark>/length/mean | tokens
    response tokens; mean over responses
eval/<benchmark>/timeout/count | responses
    responses that the grader gave up on, or programs that did not end in time
eval/macro/accuracy/mean | fraction
    mean over the benchmarks' accuracies, each counting alike
== Time and memory
time/generate/seconds | seconds | verl timing_s/gen
    sampling the responses
time/verify/seconds | seconds
    judging them
time/update/seconds | seconds | verl timing_s/update_actor
    all updates: forward, interventions, backward, optimiser
time/ahead/seconds | seconds
    waiting for the next step's responses before the push; only with rollout.ahead, where they are sampled and judged
    beside the updates (time/generate and time/verify then overlap with time/update)
time/push/seconds | seconds
    handing the new weights to the sampler
time/measure/seconds | seconds | verl timing_s/old_log_prob, of which this is the larger part
    statistics without a gradient: before the updates, for the populations of interventions, and after the step
time/parity/seconds | seconds
    sampling and measuring the tokens of mismatch/parity/max
time/probe/seconds | seconds
    everything that analysis.probe computes
time/validate/seconds | seconds
    validation
time/evaluate/seconds | seconds
    the benchmarks
time/save/seconds | seconds
    the checkpoint after the step before this one
time/wait/seconds | seconds
    waiting for the slowest rank
time/step/seconds | seconds | verl timing_s/step; TRL step_time
    the whole step with validation and rollout files, without the checkpoint
throughput/tokens/per_second | tokens/s | verl perf/throughput
    response tokens of the step / time/step/seconds
throughput/generated/per_second | tokens/s
    response tokens of the step / time/generate/seconds: without those of replaced groups; with rollout.ahead the
    seconds are the next step's
memory/rss/bytes | bytes
    resident memory of the training processes, summed over ranks
memory/device/bytes | bytes | verl perf/max_memory_allocated_gb
    peak memory of tensors on the accelerator in the step, largest rank; GPU only
"""
"""`== section`, then for each metric `key | unit | name elsewhere` and its meaning, indented."""
