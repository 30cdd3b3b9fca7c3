/* Adds to each question of a quiz a button that checks the choice, and to the quiz a count. */
for (const quiz of document.querySelectorAll(".fundus-quiz")) {
  const questions = [...quiz.querySelectorAll("fieldset")];
  const score = document.createElement("p");
  score.className = "quiz-score";
  score.setAttribute("role", "status");
  for (const question of questions) {
    const button = document.createElement("button");
    const reply = document.createElement("p");
    button.type = "button";
    button.textContent = "Check";
    reply.className = "quiz-reply";
    reply.setAttribute("role", "status");
    question.querySelector("details").before(button, reply);
    button.addEventListener("click", () => {
      const chosen = question.querySelector("input:checked");
      if (!chosen) {
        reply.textContent = "Choose an answer first.";
        return;
      }
      const option = question.querySelector(`li[data-option="${chosen.value}"]`);
      question.dataset.verdict = option.dataset.verdict;
      const word = document.createElement("strong");
      word.textContent = option.dataset.verdict === "right" ? "Right. " : "Wrong. ";
      reply.replaceChildren(word, option.querySelector(".quiz-why").cloneNode(true));
      const answered = questions.filter((one) => one.dataset.verdict);
      const right = answered.filter((one) => one.dataset.verdict === "right");
      score.textContent = `${right.length} right of ${answered.length} checked, of ${questions.length} questions.`;
    });
    question.addEventListener("change", () => {
      reply.textContent = "";
      delete question.dataset.verdict;
    });
  }
  quiz.append(score);
}
