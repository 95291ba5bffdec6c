"""English words that are a slip away from words of the worlds, and are no slip: "plane" is not a misspelt plate."""

from __future__ import annotations

__all__ = ["REAL_WORDS"]

REAL_WORDS = frozenset(
    """
    aloe ample appre bail bald batch bate bats batter battle bead beak beam bean beard beat beer bell better
    bill bitter black bleak bloc boar bool boom boon boot bottlen bouncer brad bred breed broad bull bumble
    burble burying butler buttery charge chia chili chilly chin chine clod coal coaling coil cola colt cooing
    cooler coop cooping cord cubs cure cute dawn deck dies dock docs domes dons dopes dose doses dosing dots
    downt downy draining drilling drip dripping droop duce duct dusk dyes dying faire fame feathery fibre fier
    file firm flake flare flats fleecing fleeting flesh flood flour fluor fore frame gels gems giver gloss grass
    guts hampered hardened hated heal healed healing hear hearing heart heater heav heave heaved heed hell helm
    herd hoed hole holy hood intox intro lease leasing leaven lent lest leve lift lightening lightning limiting
    malt march math meal meat medal meld mental mild mile mill mink noting oven overt pace pacer pacing pager
    palace palate pater pauper payer peace petting piper pitting plac plaice plane plat platen plater played
    playing poor posh pout raise relating relaxing relegated repealed repeated repeating revealed revealing
    reversed reversing rice ride rinse rite robber rubbed sack sandy sane sang scatter send shack shave shaved
    shaving sheep sheer shocking shoe shone shore shovel shutter silks sings sins sinus slack slicer slick slime
    smack smatter snack snacking snap snuffed soak sole sore soup sparking spice spoof spook spool stab stacker
    staffed staffing stag staining staked stalk star stark starring starving stat stiffed stock stocked stocking
    stoke stole ston stony stray sund swap sway sweet swoon tablet taker tale tales tapes tapped tapping taxes
    three thriving throb tick till tilling tint titled toes tons torn trick trowing truing tuned tuning turb
    turd turf tying vary verb wafer wager wall ward ware warn warning warp warping wars wart wary watery waver
    whale wham wheat whet whey whine whit white whose width wild wile wilt wish witch wits wond woody wool
    woolen word world worm wound wren
    """.split()
)
