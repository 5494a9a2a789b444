import { useEffect, useState } from 'react';
import { Pressable, ScrollView, StyleSheet, Text, View } from 'react-native';
import form from './generated/form.json';
import { buildBig5Prompt, type Answers } from './prompt';
import { isTrait, parseReport, type Report } from './report';
import { isSafe } from './safety';
import { useOnDeviceSLLM } from './useOnDeviceSLLM';

interface Props {
  modelPath: string;
  answers: Answers;
}

const NAMES = new Map(form.traits.map((trait) => [trait.key, trait.korean]));

/** How the parts work together, to be made the app's own: a report is shown whole, checked, or not at all. */
export function ReportScreen({ modelPath, answers }: Props) {
  const { model, error, text, isLoading, isGenerating, loadModel, generate, stop } = useOnDeviceSLLM({ modelPath });
  const [report, setReport] = useState<Report | null>(null);
  const [problem, setProblem] = useState('');

  useEffect(() => void loadModel(), [loadModel]);

  async function write() {
    setReport(null);
    setProblem('');
    try {
      const written = await generate(buildBig5Prompt(answers));
      if (written.ended === 'stopped') return;
      if (written.ended === 'itself' && isSafe(written.text)) setReport(parseReport(written.text));
      else setProblem('리포트를 보여 드릴 수 없어요. 다시 시도해 주세요.');
    } catch (thrown) {
      setProblem(thrown instanceof Error ? thrown.message : String(thrown));
    }
  }

  const done = parseReport(text).parts.filter((part) => isTrait(part.key)).length;
  const words = isLoading ? '모델을 불러오는 중…' : isGenerating ? `${done} / ${NAMES.size} 쓰는 중… (멈추기)` : '리포트 쓰기';
  return (
    <ScrollView contentContainerStyle={styles.page}>
      <Pressable
        accessibilityRole="button"
        disabled={!model}
        onPress={() => void (isGenerating ? stop() : write())}
        style={styles.button}
      >
        <Text style={styles.label}>{words}</Text>
      </Pressable>
      {(problem || error) && <Text accessibilityRole="alert">{problem || error?.message}</Text>}
      {report?.traits.map((part) => (
        <View key={part.key} style={styles.part}>
          <Text style={styles.heading}>{`${NAMES.get(part.key)} · ${part.level}`}</Text>
          <Text>{part.body}</Text>
        </View>
      ))}
      {report && <Text>{report.summary}</Text>}
    </ScrollView>
  );
}

const styles = StyleSheet.create({
  page: { padding: 24, gap: 16 },
  button: { padding: 16, borderRadius: 12, backgroundColor: '#1f4fd8' },
  label: { color: '#ffffff', textAlign: 'center' },
  part: { gap: 8 },
  heading: { fontWeight: '700' },
});
